"""The running service against its own OpenAPI document, by all checks of schemathesis.

With `SCHEMATHESIS_EXAMPLES=300` the search is thorough and takes ten minutes.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.main import create_app
from app.resilience.rate_limit import RateLimitPolicy
from app.settings import Settings
from mock_api.application import create_app as create_mock
from tests.client_keys import CLIENT_KEYS, KEYS
from tests.running_service import serving

ROOT = Path(__file__).parents[2]
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "25")
WITH_KEYS = {"client": {"keys": CLIENT_KEYS}}


async def findings(url: str, directory: Path, *options: str) -> tuple[int | None, str]:
    """Run schemathesis as a process of its own; its exit status and report."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        f"--config-file={CONFIGURATION}",
        "run",
        f"{url}/openapi.json",
        "--checks=all",
        f"--max-examples={EXAMPLES}",
        "--seed=1",
        "--workers=4",  # most of its time it waits for answers
        "--no-color",
        *options,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await process.communicate()
    return process.returncode, report.decode()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("settings", "options"),
    [({}, []), (WITH_KEYS, [f"--header=Authorization: Bearer {KEYS['acme']}"])],
    ids=["open", "with client keys"],
)
async def test_every_answer_is_as_the_document_describes_it(
    settings: dict[str, Any], options: list[str], tmp_path: Path
) -> None:
    limit = RateLimitPolicy(requests_per_minute=1_000_000, burst=100_000)
    transport = httpx2.ASGITransport(create_mock())
    app = create_app(Settings(rate_limit=limit, **settings), transport=transport)
    async with serving(app) as (_, url):
        status, report = await findings(url, tmp_path, *options)
    assert status == 0, report
    operations = sum(len(methods) for methods in app.openapi()["paths"].values())
    assert f"Tested: {operations}\n" in report
