"""`make test` with DEBUG_PORT: waits for a debugger, then runs the tests in this process.

Usage: python -m scripts.debug_tests HOST PORT PORT_OF_THIS_MACHINE [ARGUMENT OF PYTEST]…
"""

import sys

import debugpy
import pytest

from app import debugger


def main(host: str, port: str, shown: str, *arguments: str) -> int:
    if not port.isdecimal() or not 0 < int(port) < 65536:  # noqa: PLR2004
        sys.exit(f"make test: DEBUG_PORT={port} is not a port; choose one from 1 to 65535")
    debugger.listen(host, int(port))
    print(f"make test: waiting for a debugger at 127.0.0.1:{shown}", flush=True)
    debugpy.wait_for_client()
    # One process, which the debugger sees. A test that is paused needs more than 30 s.
    return pytest.main(["--numprocesses", "0", "--timeout", "0", *arguments])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
