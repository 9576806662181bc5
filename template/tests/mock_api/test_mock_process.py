"""`python -m mock_api` as a process: ports, signals, and many callers at once."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

ROOT = Path(__file__).parents[2]
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def start(*, port: str = "0") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mock_api"],
        cwd=ROOT,
        env={**os.environ, "PORT": port},
        stderr=subprocess.PIPE,
        text=True,
    )


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise AssertionError("the process did not say where it listens")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with start() as started:
        yield started
        started.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_ends_it_quietly_though_a_stream_is_stalled(
    process: subprocess.Popen[str], number: signal.Signals
) -> None:
    headers = {"authorization": "Bearer sk"}
    with httpx2.Client(base_url=url_of(process), headers=headers) as client:
        client.put("/_mock/faults", json={"stall_after_chunks": 1})
        with client.stream("POST", "/v1/chat/completions", json=ASKED) as answer:
            assert answer.status_code == 200
            process.send_signal(number)
            _, log = process.communicate(timeout=5)
    assert process.returncode in {0, -number}
    assert "Traceback" not in log
    assert "Finished server process" in log


@pytest.mark.slow
@pytest.mark.parametrize("port", ["http", "70000", "-1"])
def test_a_bad_port_is_named(port: str) -> None:
    with start(port=port) as process:
        _, log = process.communicate(timeout=10)
    assert process.returncode == 1
    assert log == f"PORT must be a number from 0 to 65535, not {port!r}\n"


@pytest.mark.slow
async def test_two_hundred_calls_at_once(
    openai: "AsyncOpenAI", anthropic: "AsyncAnthropic"
) -> None:
    async def from_openai(number: int) -> str:
        answer = await openai.chat.completions.create(
            model="m", messages=[{"role": "user", "content": f"number {number}"}]
        )
        return answer.choices[0].message.content or ""

    async def from_anthropic(number: int) -> str:
        async with anthropic.messages.stream(
            model="m", max_tokens=99, messages=[{"role": "user", "content": f"number {number}"}]
        ) as stream:
            return await stream.get_final_text()

    calls = [ask(number) for number in range(100) for ask in (from_openai, from_anthropic)]
    answers = await asyncio.gather(*calls)
    assert all(f'"number {i // 2}"' in answer for i, answer in enumerate(answers))
