import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial

import httpx2
import pytest

from app.api.event_stream import EventStream
from app.errors import ProviderTimeoutError, StreamInterruptedError
from app.features.chat.router import _frames
from app.llm.model import open_stream
from app.llm.opened_stream import StreamToOpen
from app.llm.types import ChatRequest
from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import (
    STREAMED,
    RunningService,
    events_of,
    listening,
    opened,
    service_with,
    serving,
)

_DELTA = b"event: delta\ndata: {}\n\n"
_DONE = b"event: done\ndata: {}\n\n"


async def test_an_answer_comes_as_deltas_and_one_done() -> None:
    async with opened(FakeChatModel(["Hel", "lo"])) as service:
        answer = await service.ask(stream=True)
    names, data = zip(*events_of(answer.text), strict=True)
    assert names == ("delta", "delta", "done")
    assert [json.loads(text) for text in data[:2]] == [{"text": "Hel"}, {"text": "lo"}]
    assert json.loads(data[2])["content"] == "Hello"


async def test_a_stream_has_headers_against_caching_and_buffering(service: RunningService) -> None:
    answer = await service.ask(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize(
    "text",
    ["a\nb", "a\r\nb", "a\u2028b\u2029c\x85d", "data: x\n\nevent: done", "🙂", '"\\', "\x00"],
    ids=["newline", "crlf", "exotic line ends", "an event in an event", "emoji", "quotes", "nul"],
)
async def test_text_arrives_unchanged(text: str) -> None:
    async with opened(FakeChatModel([text])) as service:
        events = events_of((await service.ask(stream=True)).text)
    assert json.loads(events[0][1]) == {"text": text}
    assert json.loads(events[1][1])["content"] == text


async def test_a_stream_that_breaks_ends_in_one_error_with_the_text_so_far() -> None:
    broken = StreamInterruptedError("openai hung up", text="Hello", provider="openai")
    async with opened(FakeChatModel(["Hel", "lo", broken])) as service:
        answer = await service.ask(stream=True)
    events = events_of(answer.text)
    assert [name for name, _ in events] == ["delta", "delta", "error"]
    assert json.loads(events[-1][1]) == {
        "type": "urn:problem:provider-failed",
        "title": "The provider failed",
        "status": 502,
        "detail": "openai hung up",
        "request_id": answer.headers["x-request-id"],
        "text": "Hello",
    }


async def test_an_unexpected_error_in_a_stream_shows_no_details_to_the_caller(
    logs: CapturedLogs,
) -> None:
    async with opened(FakeChatModel(["Hel", ValueError("confidential")])) as service:
        answer = await service.ask(stream=True)
    name, problem = events_of(answer.text)[-1]
    assert (name, json.loads(problem)["status"]) == ("error", 500)
    assert "confidential" not in answer.text
    assert len(logs.events("http.failed")) == 1


async def test_each_event_is_sent_as_soon_as_it_arrives() -> None:
    go_on = asyncio.Event()
    app = service_with(FakeChatModel(["first", go_on.wait, "second"]))
    async with listening(app) as client, client.stream("POST", "/v1/chat", json=STREAMED) as answer:
        chunks = answer.aiter_text()
        assert "first" in await anext(chunks)
        go_on.set()
        assert "second" in await anext(chunks)
        await _read_to_the_end(chunks)


@pytest.mark.parametrize("sent", [["Hi"], []], ids=["after the first event", "before it"])
async def test_a_callers_disconnect_closes_the_upstream(
    sent: list[str], logs: CapturedLogs
) -> None:
    model = FakeChatModel([*sent, asyncio.Event().wait])
    async with listening(service_with(model)) as client:
        asking = asyncio.create_task(_ask_for_a_stream(client))
        await _until(lambda: model.open_streams == 1)
        await asyncio.sleep(0.02)
        asking.cancel()
        await _until(lambda: model.open_streams == 0)
        await _until(lambda: bool(logs.events("http.request")))
    assert logs.events("http.request")[0]["status"] == (200 if sent else 499)
    assert logs.events("http.failed") == []


async def test_closing_the_frames_closes_the_upstream_at_once() -> None:
    model = FakeChatModel(["Hel", "lo"])
    events = StreamToOpen(partial(open_stream, model, ChatRequest(())))
    frames = _frames(events, [], debug=False)
    await anext(frames)
    await frames.aclose()
    assert model.open_streams == 0


async def test_a_caller_that_does_not_read_stops_reads_from_the_provider() -> None:
    """Backpressure: the service reads from the provider only as fast as the caller reads."""
    asked_for = 0

    async def count() -> None:
        nonlocal asked_for
        asked_for += 1

    # Some 130 MB. The system's own buffers may hold 30 MB before the sender has to wait.
    model = FakeChatModel([count, "x" * 65_536] * 2_000)
    async with (
        listening(service_with(model)) as client,
        client.stream("POST", "/v1/chat", json=STREAMED) as answer,
    ):
        await _unchanged(lambda: asked_for)
        await answer.aclose()
        await _until(lambda: model.open_streams == 0)
    assert 0 < asked_for < 2_000


async def test_an_upstream_that_never_waits_does_not_hide_a_disconnect() -> None:
    asked_for = 0

    async def frames() -> AsyncGenerator[bytes, None]:
        nonlocal asked_for
        for asked_for in range(1_000):  # noqa: B007 - counted for the test
            yield _DELTA

    await _sent_by(EventStream(frames()), leaves=True)
    assert asked_for < 100


async def test_an_upstream_that_never_waits_does_not_block_other_tasks() -> None:
    turns = 0

    async def another_task() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def frames() -> AsyncGenerator[bytes, None]:
        for _ in range(1_000):
            yield _DELTA

    other = asyncio.create_task(another_task())
    await _sent_by(EventStream(frames()))
    other.cancel()
    assert turns > 10


async def test_a_stream_cut_off_by_a_shutdown_ends_with_an_error_and_the_text_so_far() -> None:
    model = FakeChatModel(["Hel", "lo", asyncio.Event().wait])
    async with serving(service_with(model), drain_s=0) as (server, url):
        text = ""
        async with (
            httpx2.AsyncClient(base_url=url) as client,
            client.stream("POST", "/v1/chat", json=STREAMED) as answer,
        ):
            async for piece in answer.aiter_text():
                text += piece
                server.should_exit = text.count("event: delta") == 2
    names, data = zip(*events_of(text), strict=True)
    assert names == ("delta", "delta", "error")
    assert (json.loads(data[-1])["status"], json.loads(data[-1])["text"]) == (503, "Hello")
    assert model.open_streams == 0


async def test_a_stream_cut_off_before_its_first_event_sends_nothing() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    sent: list[bytes] = []
    stream = EventStream(frames(), final_frame=lambda: b"the end")
    call = asyncio.create_task(_sent_by(stream, sent))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert sent == []


async def test_a_silent_stream_sends_keep_alive_comments() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        yield _DELTA
        await asyncio.sleep(0.1)
        yield _DONE

    sent = await _sent_by(EventStream(frames(), keep_alive_s=0.02))
    assert sent.count(b": keep-alive\n\n") >= 2
    assert [name for name, _ in events_of(b"".join(sent).decode())] == ["delta", "done"]


async def test_a_busy_stream_has_no_comments() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        for _ in range(10):
            await asyncio.sleep(0.01)
            yield _DELTA

    assert b": keep-alive\n\n" not in await _sent_by(EventStream(frames(), keep_alive_s=0.08))


async def test_before_the_first_event_nothing_is_sent() -> None:
    async def frames() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(0.05)
        raise ProviderTimeoutError("too slow")
        yield b""

    sent: list[bytes] = []
    with pytest.raises(ProviderTimeoutError):
        await _sent_by(EventStream(frames(), keep_alive_s=0.01), sent)
    assert sent == []


async def _sent_by(
    stream: EventStream, sent: list[bytes] | None = None, *, leaves: bool = False
) -> list[bytes]:
    sent = [] if sent is None else sent

    async def receive() -> dict[str, object]:
        await (asyncio.sleep(0) if leaves else asyncio.Event().wait())
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message.get("body", b""))

    await stream({"type": "http"}, receive, send)
    return sent


async def _ask_for_a_stream(client: httpx2.AsyncClient) -> None:
    async with client.stream("POST", "/v1/chat", json=STREAMED) as answer:
        await _read_to_the_end(answer.aiter_text())


async def _read_to_the_end(chunks: AsyncIterator[str]) -> None:
    async for _ in chunks:
        pass


async def _until(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 - it happens on the other side of a socket
        await asyncio.sleep(0.005)


async def _unchanged(count: Callable[[], int], turns: int = 100) -> None:
    """Wait until nothing has been counted for so many turns of the loop, however long they take."""
    seen, quiet = count(), 0
    while quiet < turns:
        await asyncio.sleep(0)
        seen, quiet = count(), quiet + 1 if count() == seen else 0
