"""A service imports only what it needs: each of these packages takes memory in every process, and time at each start."""

import os
import subprocess
import sys

import pytest

# Packages that some services never need: from 0.4 MB (ctypes) to 20 MB (a cloud's SDK).
_NEEDED_LATER = "boto3 google.auth numpy openai anthropic redis opentelemetry.sdk yaml ctypes"

_START = """
import asyncio, sys
from app.main import create_app
from app.settings import load

async def start():
    app = create_app(load())
    async with app.router.lifespan_context(app):
        print(*sorted(set(sys.argv[1:]) & sys.modules.keys()), file=sys.stderr)

asyncio.run(start())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("chosen", "more"), [("aiohttp", ""), ("httpx2", "aiohttp")])
def test_a_started_service_has_not_imported_what_its_settings_do_not_need(
    chosen: str, more: str
) -> None:
    modules = [*_NEEDED_LATER.split(), *more.split()]
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
