"""A service imports only what it needs: each of these packages takes memory in every process, and time at each start."""

import subprocess
import sys

import pytest

# Packages that some services never need: from 6 MB (redis) to 20 MB (a cloud's SDK).
_NEEDED_LATER = "boto3 google.auth numpy openai anthropic redis opentelemetry.sdk yaml"

_START = """
import asyncio, sys
from app.main import create_app
from app.settings import Settings

async def start():
    app = create_app(Settings(health_probe_interval_s=0))
    async with app.router.lifespan_context(app):
        print(*sorted(set(sys.argv[1:]) & sys.modules.keys()), file=sys.stderr)

asyncio.run(start())
"""


@pytest.mark.slow
def test_a_started_service_has_not_imported_what_its_settings_do_not_need() -> None:
    command = [sys.executable, "-c", _START, *_NEEDED_LATER.split()]
    started = subprocess.run(  # noqa: S603 - this Python, with arguments of this file
        command, capture_output=True, text=True, check=True, timeout=60
    )
    assert started.stderr.split() == []
