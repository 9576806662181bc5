"""The requests and attempts that the page of `make lab` shows, as they are seen on the wire."""

import asyncio

import httpx2
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.testing import FakeClock
from scripts.lab.connection import Connection
from scripts.lab.live.bus import Bus, Event
from scripts.lab.live.watch import WatchedMock, WatchedService
from scripts.lab.recording import Called, Recording

WHOLE: list[Message] = [
    {"type": "http.response.start", "status": 200, "headers": []},
    {"type": "http.response.body", "body": b"event: done\ndata: {}\n\n"},
]
REFUSED: list[Message] = [{**WHOLE[0], "status": 429}, WHOLE[1]]
CUT: list[Message] = [WHOLE[0], {**WHOLE[1], "more_body": True}]
ERROR_EVENT: list[Message] = [WHOLE[0], {**WHOLE[1], "body": b"event: error\ndata: {}\n\n"}]


@pytest.fixture
def bus() -> Bus:
    return Bus(FakeClock().monotonic)


def published(bus: Bus, kind: str) -> list[Event]:
    with bus.open() as page:
        events = [page.get_nowait() for _ in range(page.qsize())]
    return [event for event in events if event is not None and event["kind"] == kind]


def answering(*messages: Message) -> ASGIApp:
    async def application(scope: Scope, _: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for message in messages:
                await send(message)

    return application


async def ask(application: ASGIApp, path: str = "/v1/chat", request_id: str = "") -> None:
    headers = {"X-Request-ID": request_id} if request_id else {}
    transport = Connection(application)
    async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
        try:
            await client.post(path, headers=headers)
        except httpx2.TransportError:
            return


@pytest.mark.parametrize(
    ("messages", "status", "ending"),
    [
        pytest.param(WHOLE, 200, "whole", id="whole"),
        pytest.param(REFUSED, 429, "refused", id="refused"),
        pytest.param(CUT, 200, "broken", id="cut"),
        pytest.param(ERROR_EVENT, 200, "broken", id="error-event"),
        pytest.param([], 0, "silent", id="no-answer"),
    ],
)
async def test_the_end_of_a_request_is_published(
    bus: Bus, messages: list[Message], status: int, ending: str
) -> None:
    await ask(WatchedService(answering(*messages), bus, "storm"), request_id="mine")
    assert [event["id"] for event in published(bus, "request")] == ["mine"]
    (answer,) = published(bus, "answer")
    assert (answer["id"], answer["status"], answer["ending"]) == ("mine", status, ending)


async def test_a_request_without_an_id_gets_the_next_one_of_the_play(bus: Bus) -> None:
    seen: list[bytes] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(dict(scope["headers"])[b"x-request-id"])
        await answering(*WHOLE)(scope, receive, send)

    service = WatchedService(application, bus, "storm")
    await ask(service)
    await ask(service)
    assert seen == [b"storm-001", b"storm-002"]
    assert [event["id"] for event in published(bus, "request")] == ["storm-001", "storm-002"]


@pytest.mark.parametrize("path", ["/readyz", "/docs", "/metrics"])
async def test_a_request_to_another_path_is_not_shown(bus: Bus, path: str) -> None:
    await ask(WatchedService(answering(*WHOLE), bus, "storm"), path)
    await ask(WatchedMock(answering(*WHOLE), bus), path)
    assert published(bus, "request") == []
    assert published(bus, "attempt") == []


async def test_attempts_of_a_request_have_their_reason(bus: Bus) -> None:
    mock = WatchedMock(answering(*REFUSED), bus)
    recording = Recording()
    mock.begin(recording, ["openai", "anthropic"])
    for path in ("/v1/chat/completions", "/v1/chat/completions", "/v1/messages"):
        await ask(mock, path, "one")
    await ask(mock, "/v1/chat/completions", "two")
    shown = [(event["id"], event["as"]) for event in published(bus, "attempt")]
    assert shown == [("one", "first"), ("one", "retry"), ("one", "fallback"), ("two", "first")]
    assert [call.provider for call in recording.called] == ["openai"] * 2 + ["anthropic", "openai"]
    assert recording.called[0] == Called("openai", 0)


async def test_an_attempt_beside_an_open_one_is_a_hedge(bus: Bus) -> None:
    has_begun, is_over = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/chat/completions":
            has_begun.set()
            await is_over.wait()
        await answering(*WHOLE)(scope, receive, send)

    mock = WatchedMock(slow, bus)
    first = asyncio.create_task(ask(mock, "/v1/chat/completions", "one"))
    await has_begun.wait()
    await ask(mock, "/v1/messages", "one")
    is_over.set()
    await first
    assert [event["as"] for event in published(bus, "attempt")] == ["first", "hedge"]
    assert [event["n"] for event in published(bus, "attempt_end")] == [2, 1]
