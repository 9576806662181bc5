"""`python -m mock_api` serves on HOST and PORT (127.0.0.1:9000); `--reload` follows changes."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import uvicorn

_LAST_PORT = 65535


def port(environ: Mapping[str, str]) -> int:
    text = environ.get("PORT") or "9000"
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_PORT):
        raise SystemExit(f"PORT must be a number from 0 to {_LAST_PORT}, not {text!r}")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mock_api", description=__doc__)
    parser.add_argument("--reload", action="store_true", help="restart when mock_api/ changes")
    reload = parser.parse_args().reload
    uvicorn.run(
        "mock_api.application:create_app",
        factory=True,
        host=os.environ.get("HOST") or "127.0.0.1",
        port=port(os.environ),
        reload=reload,
        reload_dirs=[str(Path(__file__).parent)] if reload else None,
        access_log=False,
        timeout_graceful_shutdown=1,  # otherwise a stalled stream would block the exit forever
    )


if __name__ == "__main__":
    main()
