"""Every fault of the wire, both providers, whole and streamed, many at a time, through the service.

In every case the caller gets a problem that names the provider as the cause, and nothing
stays behind: no place in the pool, no task, no open file.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from app.errors import ProviderConnectionError, ProviderTimeoutError
from app.main import create_app
from app.settings import Settings
from app.testing import CapturedLogs
from tests.api.rounds import (
    CALLS,
    answers_full_rounds,
    ask_a_round,
    assert_serves_a_round,
    nothing_left_behind,
    settings_for,
)
from tests.llm.faults import EVENTS, FAULTS, JSON, Fault, Kind
from tests.llm.loopback import Loopback, loopback
from tests.llm.samples import SAMPLES, TEXT, Sample
from tests.running_service import events_of

pytestmark = pytest.mark.slow

HURRIED_S = 1.5  # servers that hang, or drip, do so for longer


def settings_to_meet(base_url: str, expected: Kind, *, stream: bool) -> Settings:
    """Short timeouts for the kind of call under test, if it is about time; long ones for the other.

    So the round that shows that all is well again does not depend on how busy the machine is.
    """
    if expected is not ProviderTimeoutError:
        return settings_for(base_url)
    if stream:
        return settings_for(base_url, stream_chunk_timeout_s=HURRIED_S)
    return settings_for(base_url, request_timeout_s=HURRIED_S)


@asynccontextmanager
async def door_with(settings: Settings) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http


def assert_blames_the_provider(answer: httpx2.Response, expected: Kind) -> None:
    if answer.status_code == 200:
        problem = error_after_text(answer.text)
    else:
        problem = answer.json()
        assert problem["status"] == answer.status_code
    assert problem["status"] == (504 if expected is ProviderTimeoutError else 502)


def error_after_text(stream: str) -> dict[str, object]:
    *deltas, (last, data) = events_of(stream)
    problem: dict[str, object] = json.loads(data)
    text = "".join(json.loads(delta)["text"] for _, delta in deltas)
    assert last == "error"
    assert problem["text"] == text
    assert text
    assert TEXT.startswith(text)
    return problem


async def meet(server: Loopback, fault: Fault, sample: Sample, *, stream: bool) -> None:
    expected = fault.stream if stream else fault.complete
    settings = settings_to_meet(server.base_url, expected, stream=stream)
    async with door_with(settings) as http:
        for answer in await ask_a_round(http, sample, stream=stream):
            assert_blames_the_provider(answer, expected)
        assert len(server.requests) == CALLS
        server.reply = answers_full_rounds(sample, stream=not stream)
        await assert_serves_a_round(http, sample, stream=not stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_of_the_wire_is_a_problem_of_the_provider_and_leaks_nothing(
    fault: Fault, sample: Sample, logs: CapturedLogs, *, stream: bool
) -> None:
    body, content_type = (sample.stream, EVENTS) if stream else (sample.body, JSON)
    async with nothing_left_behind(logs), loopback(fault.reply(body, content_type)) as server:
        await meet(server, fault, sample, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_provider_that_does_not_listen_leaks_nothing(
    sample: Sample, logs: CapturedLogs, unused_tcp_port: int, *, stream: bool
) -> None:
    base_url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    async with nothing_left_behind(logs), door_with(settings_for(base_url)) as http:
        for answer in await ask_a_round(http, sample, stream=stream):
            assert_blames_the_provider(answer, ProviderConnectionError)
        async with loopback(answers_full_rounds(sample, stream=stream), unused_tcp_port):
            await assert_serves_a_round(http, sample, stream=stream)
