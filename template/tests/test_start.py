"""A service imports only what it needs: each of these packages takes memory in every process, and time at each start."""

import os
import subprocess
import sys

import pytest

from app import tls

# Packages that some services never need: from 6 MB (redis) to 20 MB (a cloud's SDK).
_NEEDED_LATER = "boto3 google.auth numpy openai anthropic redis opentelemetry.sdk yaml"
# Installed for development, or a part of the other transport, of jobs, or of a stop: 0.4 MB (ctypes) to 9 MB (aiohttp).
_NEEDED_ELSEWHERE = (
    "rich tornado ctypes app.llm.providers.openai.batch app.llm.providers.anthropic.batch"
)

_START = """
import asyncio, sys
import app.__main__
from app.main import create_app
from app.settings import load

async def start():
    app = create_app(load())
    async with app.router.lifespan_context(app):
        print(*sorted(set(sys.argv[1:]) & sys.modules.keys()), file=sys.stderr)

asyncio.run(start())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "other"), [("aiohttp", "httpcore2"), ("httpx2", "aiohttp")])
def test_a_started_service_has_not_imported_what_its_settings_do_not_need(
    chosen: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(variable, raising=False)
    if other == "httpcore2" and tls.system_context() is None:
        pytest.skip("httpcore2 looks for the certificates of this system")
    modules = [*_NEEDED_LATER.split(), *_NEEDED_ELSEWHERE.split(), other]
    started = subprocess.run(  # noqa: S603 - this Python, with arguments of this file
        [sys.executable, "-c", _START, *modules],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": "src",
            "HTTP_TRANSPORT": chosen,
            "HEALTH_PROBE_INTERVAL_S": "0",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert started.stderr.split() == []


@pytest.mark.slow
def test_a_hidden_package_can_be_imported_after_the_start() -> None:
    code = "import app.__main__, sys; print([n for n, found in sys.modules.items() if not found])"
    started = subprocess.run(  # noqa: S603 - this Python, with code of this file
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert started.stdout.strip() == "[]"
