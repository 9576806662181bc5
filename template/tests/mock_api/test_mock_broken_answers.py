"""Answers of the mock API that are slow, cut, stalled or malformed, as each SDK experiences them."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx2
import orjson
import pytest
from starlette.types import ASGIApp, Message

from mock_api.application import create_app
from mock_api.testing import running_server
from tests import sdk

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI
from tests.mock_api.test_mock_faults import ASKED, CHAT, ask_anthropic, ask_openai

OPENAI_STREAM = (CHAT, ASKED | {"stream": True})
ANTHROPIC_STREAM = ("/v1/messages", ASKED | {"stream": True, "max_tokens": 100})
STREAMS = pytest.mark.parametrize(
    ("path", "asked"), [OPENAI_STREAM, ANTHROPIC_STREAM], ids=["openai", "anthropic"]
)


async def said_by_openai(openai: "AsyncOpenAI") -> AsyncIterator[str]:
    stream = await openai.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


async def said_by_anthropic(anthropic: "AsyncAnthropic") -> AsyncIterator[str]:
    async with anthropic.messages.stream(
        model="claude", max_tokens=99, messages=[{"role": "user", "content": "Hi"}]
    ) as stream:
        async for piece in stream.text_stream:
            yield piece


async def keep(pieces: AsyncIterator[str], received: list[str]) -> None:
    async for piece in pieces:
        received.append(piece)  # noqa: PERF401 - extend would lose what came before an error


async def test_latency_delays_the_answer(control: httpx2.Client, openai: "AsyncOpenAI") -> None:
    control.put("/faults", json={"latency_ms": 200})
    began = time.monotonic()
    await ask_openai(openai)
    assert 0.2 <= time.monotonic() - began < 10


async def test_a_stream_is_paced(control: httpx2.Client, openai: "AsyncOpenAI") -> None:
    control.put("/faults", json={"tokens_per_second": 50})
    began = time.monotonic()
    arrivals = [time.monotonic() - began async for _ in said_by_openai(openai)]
    assert arrivals[-1] >= len(arrivals) / 50
    assert arrivals[0] < arrivals[-1] / 2


@pytest.mark.parametrize("chunks", [1, 3, 12], ids=["one", "three", "all but the end"])
async def test_a_dropped_stream_delivers_n_chunks_and_breaks(
    control: httpx2.Client, openai: "AsyncOpenAI", anthropic: "AsyncAnthropic", chunks: int
) -> None:
    control.put("/faults", json={"drop_after_chunks": chunks})
    received: list[str] = []
    with pytest.raises(sdk.openai.APIConnectionError):
        await keep(said_by_openai(openai), received)
    assert len(received) == chunks
    with pytest.raises((httpx2.RemoteProtocolError, sdk.anthropic.APIConnectionError)):
        await keep(said_by_anthropic(anthropic), received)
    assert len(received) == 2 * chunks


@STREAMS
async def test_a_drop_beyond_the_end_changes_nothing(
    control: httpx2.Client, http: httpx2.AsyncClient, path: str, asked: dict[str, object]
) -> None:
    control.put("/faults", json={"drop_after_chunks": 1000})
    answer = await http.post(path, json=asked)
    assert answer.text.rstrip().endswith(("[DONE]", '{"type":"message_stop"}'))


async def test_a_whole_answer_is_dropped_halfway(
    control: httpx2.Client, openai: "AsyncOpenAI"
) -> None:
    control.put("/faults", json={"drop_after_chunks": 1})
    with pytest.raises(sdk.openai.APIConnectionError):
        await ask_openai(openai)


async def test_drops_are_silent_in_the_log(
    control: httpx2.Client, openai: "AsyncOpenAI", caplog: pytest.LogCaptureFixture
) -> None:
    control.put("/faults", json={"drop_after_chunks": 1})
    with running_server():
        pass  # another server that has come and gone takes nothing with it
    with pytest.raises(sdk.openai.APIConnectionError):
        await ask_openai(openai)
    assert [record for record in caplog.records if record.name == "uvicorn.error"] == []


async def test_a_stalled_stream_times_out_and_is_given_up(
    control: httpx2.Client, openai: "AsyncOpenAI"
) -> None:
    control.put("/faults", json={"stall_after_chunks": 2})
    received: list[str] = []
    with pytest.raises(sdk.openai.APITimeoutError):
        await keep(said_by_openai(openai.with_options(timeout=0.3)), received)
    assert received == ["This", " is"]


async def test_a_stalled_whole_answer_never_comes(
    control: httpx2.Client, openai: "AsyncOpenAI", anthropic: "AsyncAnthropic"
) -> None:
    control.put("/faults", json={"stall_after_chunks": 0})
    with pytest.raises(sdk.openai.APITimeoutError):
        await ask_openai(openai.with_options(timeout=0.2))
    with pytest.raises(sdk.anthropic.APITimeoutError):
        await ask_anthropic(anthropic.with_options(timeout=0.2))


async def test_a_malformed_answer_is_cut_json(
    control: httpx2.Client, http: httpx2.AsyncClient
) -> None:
    control.put("/faults", json={"malformed": True})
    answer = await http.post(CHAT, json=ASKED)
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


@STREAMS
async def test_a_malformed_stream_breaks_the_second_chunk(
    api: httpx2.AsyncClient, path: str, asked: dict[str, object]
) -> None:
    good = (await api.post(path, json=asked)).text.split("\n\n")
    await api.put("/_mock/faults", json={"malformed": True})
    bad = (await api.post(path, json=asked)).text.split("\n\n")
    differing = [(a, b) for a, b in zip(good, bad, strict=True) if a != b]
    assert len(differing) == 1
    assert '" is"' in differing[0][0]
    assert differing[0][1] == differing[0][0][:-2]


@pytest.mark.parametrize(
    "fault",
    [{"stall_after_chunks": 1}, {"latency_ms": 60_000}, {"tokens_per_second": 0.01}],
    ids=["stalled", "late", "slow"],
)
@STREAMS
async def test_a_client_that_leaves_ends_the_wait(
    fault: dict[str, object], path: str, asked: dict[str, object]
) -> None:
    app = create_app()
    await hang_up(app, "PUT", "/_mock/faults", fault, after_s=0)
    async with asyncio.timeout(2):
        await hang_up(app, "POST", path, asked, after_s=0.05)


async def hang_up(app: ASGIApp, method: str, path: str, body: object, after_s: float) -> None:
    """One request with a client that disconnects: returns when the app is done."""
    events: list[Message] = [{"type": "http.request", "body": orjson.dumps(body)}]

    async def receive() -> Message:
        if not events:
            await asyncio.sleep(after_s)
        return events.pop() if events else {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    headers = [(b"authorization", b"Bearer sk"), (b"anthropic-version", b"2023-06-01")]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": headers,
        "query_string": b"",
    }
    await app(scope, receive, send)
