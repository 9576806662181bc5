"""Callers that disconnect, with real sockets on both sides: all their resources are closed at once."""

import asyncio
import random
import sys
import time

import httpx2
import orjson
import pytest

from app.main import create_app
from app.testing import CapturedLogs
from tests.api.rounds import (
    CALLS,
    answers_full_rounds,
    assert_serves_a_round,
    body_for,
    nothing_left_behind,
    settings_for,
)
from tests.llm.faults import EVENTS
from tests.llm.loopback import Loopback, Reply, head, loopback, sends
from tests.llm.samples import SAMPLES, Sample
from tests.running_service import listening

DISCONNECTS = 500


def talks_on(sample: Sample) -> Reply:
    """An answer that begins at once and does not end during the test."""
    frames = sample.frames[: sample.silent + 1]
    return sends(head(EVENTS), *frames, *[sample.frames[sample.silent]] * 1000, every_s=0.01)


class Caller:
    """A bare socket: it can disconnect as abruptly as real callers."""

    def __init__(self, http: httpx2.AsyncClient, sample: Sample) -> None:
        self._address = (http.base_url.host, http.base_url.port)
        body = orjson.dumps(body_for(sample, stream=True))
        self._request = (
            b"POST /v1/chat HTTP/1.1\r\nHost: service\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    async def ask(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(self._request)
        return reader, writer

    async def leave_after(self, deltas: int, seconds: float) -> None:
        reader, writer = await self.ask()
        for _ in range(deltas):
            await reader.readuntil(b"event: delta")
        await asyncio.sleep(seconds)
        writer.transport.abort()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_callers_disconnect_closes_the_connection_to_the_provider(sample: Sample) -> None:
    async with (
        loopback(talks_on(sample)) as server,
        listening(create_app(settings_for(server.base_url))) as http,
    ):
        reader, writer = await Caller(http, sample).ask()
        await reader.readuntil(b"event: delta")
        assert server.open == 1
        left = time.perf_counter()
        writer.transport.abort()
        await server.until_idle()  # five seconds at most; two milliseconds, unless the machine is busy
        sys.stdout.write(f"closed after {(time.perf_counter() - left) * 1000:.1f} ms\n")


@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_disconnects_at_random_moments_leave_no_task_and_no_connection(
    sample: Sample, logs: CapturedLogs
) -> None:
    async with (
        nothing_left_behind(logs),
        loopback(talks_on(sample)) as server,
        listening(create_app(settings_for(server.base_url))) as http,
    ):
        await leave_at_any_moment(Caller(http, sample), server)
        server.reply = answers_full_rounds(sample, stream=True)
        await assert_serves_a_round(http, sample, stream=True)


async def leave_at_any_moment(caller: Caller, server: Loopback) -> None:
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    for _ in range(DISCONNECTS // CALLS):
        moments = [(chance.choice([0, 0, 1, 3]), chance.uniform(0, 0.05)) for _ in range(CALLS)]
        await asyncio.gather(*(caller.leave_after(*moment) for moment in moments))
    await server.until_idle()
    assert len(server.requests) > DISCONNECTS / 4  # early disconnects may never reach the provider
