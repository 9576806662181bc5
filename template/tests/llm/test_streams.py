"""The streams of both wire formats, cut at any place."""

import random
from collections.abc import AsyncIterator
from itertools import pairwise

import httpx2 as httpx
import pytest

from app.errors import (
    AuthenticationError,
    LLMError,
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    StreamInterruptedError,
)
from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import Done, StreamEvent, TextDelta
from app.testing import captured_logs
from tests.llm.samples import (
    ANTHROPIC,
    ANTHROPIC_START,
    ANTHROPIC_STOP,
    OPENAI,
    OPENAI_DONE,
    OPENAI_USAGE_CHUNK,
    PIECES,
    REQUEST,
    SAMPLES,
    TEXT,
    JSONObject,
    Sample,
    anthropic_end,
    anthropic_text,
    openai_delta,
)


class Chunks(httpx.AsyncByteStream):
    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks = chunks
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


async def received(sample: Sample, *chunks: bytes | Exception) -> list[StreamEvent]:
    body = Chunks(*chunks)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=body))
    async with open_connections(HTTPPolicy(), transport) as connections:
        try:
            return [event async for event in sample.model(connections).stream(REQUEST)]
        finally:
            assert body.closed


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_stream_ends_with_the_response_of_complete(sample: Sample) -> None:
    events = await received(sample, sample.stream)
    assert events == [*map(TextDelta, PIECES), Done(sample.response)]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_chunk_boundaries_do_not_change_the_answer(sample: Sample) -> None:
    chance = random.Random(7)  # noqa: S311 - cuts, not secrets
    expected = await received(sample, sample.stream)
    for _ in range(100):
        cuts = sorted(chance.sample(range(len(sample.stream)), k=chance.randrange(1, 40)))
        borders = [0, *cuts, len(sample.stream)]
        pieces = [sample.stream[a:b] for a, b in pairwise(borders)]
        assert await received(sample, *pieces) == expected


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_stream_that_ends_early_is_interrupted_with_its_text(sample: Sample) -> None:
    whole = len(b"".join(sample.frames[: sample.finish + 1])) - len(b"\n\n")
    for length in range(0, whole, 5):
        so_far = sample.stream[:length]
        with pytest.raises((StreamInterruptedError, ProviderConnectionError)) as raised:
            await received(sample, so_far)
        if isinstance(raised.value, StreamInterruptedError):
            assert TEXT.startswith(raised.value.text)
        else:  # cut within an event, before there was any text
            assert b"".join(sample.frames[: sample.silent + 1]) not in so_far


@pytest.mark.parametrize("ending", [[], [httpx.ReadError("reset")]], ids=["politely", "reset"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_stream_cut_between_any_two_events_is_interrupted(
    sample: Sample, ending: list[Exception]
) -> None:
    for count in range(sample.finish + 1):
        with pytest.raises((StreamInterruptedError, ProviderConnectionError)) as raised:
            await received(sample, *sample.frames[:count], *ending)
        text = "".join(PIECES[: max(count - sample.silent, 0)])
        if text or not ending:
            assert isinstance(raised.value, StreamInterruptedError)
            assert raised.value.text == text
        else:
            assert isinstance(raised.value, ProviderConnectionError)


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param([], id="politely"),
        pytest.param([httpx.ReadError("reset")], id="reset"),
        pytest.param([httpx.ReadTimeout("silence")], id="silence"),
        pytest.param([b'data: {"half'], id="half an event"),
    ],
)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_after_its_finish_a_stream_is_whole_however_it_ends(
    sample: Sample, ending: list[bytes | Exception]
) -> None:
    for count in range(sample.finish + 1, len(sample.frames)):
        *_, done = await received(sample, *sample.frames[:count], *ending)
        assert isinstance(done, Done)
        assert done.response.content == TEXT
        assert done.response.finish_reason == "stop"


@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n"], ids=["one line end", "none", "CRLF"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_the_last_event_needs_no_empty_line(sample: Sample, end: bytes) -> None:
    expected = await received(sample, sample.stream)
    assert await received(sample, sample.stream.rstrip(b"\n") + end) == expected


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_text_after_a_finish_takes_the_finish_back(sample: Sample) -> None:
    """Some servers send a reason to stop between thinking and text, or with every chunk."""
    frames = [*sample.frames[: sample.finish + 1], sample.frames[sample.silent]]
    with pytest.raises(StreamInterruptedError):
        await received(sample, *frames)


KEEP_ALIVES = {
    "no data": b"data:\n\n",
    "empty object": b"data: {}\n\n",
    "null": b"data: null\n\n",
    "empty text": b'data: ""\n\n',
    "empty list": b"data: []\n\n",
    "a comment in data": b"data: : OPENROUTER PROCESSING\n\n",
    "a comment in a text": b'data: ": OPENROUTER PROCESSING"\n\n',
    "a comment": b": keep-alive\n\n",
    "a word": b"data: ping\n\n",
    "an event": b"event: ping\ndata: whatever\n\n",
    "Anthropic's": b'event: ping\ndata: {"type": "ping"}\n\n',
    "retry": b"retry: 3000\n\n",
}


@pytest.mark.parametrize("keep_alive", KEEP_ALIVES.values(), ids=KEEP_ALIVES)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_keep_alives_are_passed_over(sample: Sample, keep_alive: bytes) -> None:
    expected = await received(sample, sample.stream)
    frames = [piece for one in sample.frames for piece in (keep_alive, one)]
    assert await received(sample, *frames) == expected


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_server_that_does_not_stream_is_understood(sample: Sample) -> None:
    *_, done = await received(sample, sample.body)
    assert isinstance(done, Done)
    assert done.response == sample.response


@pytest.mark.parametrize("garbage", [b"data: {nope\n\n", b"data: 7\n\n", b'data: "x"\n\n'])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_garbage_within_a_stream_is_an_error_with_the_text_so_far(
    sample: Sample, garbage: bytes
) -> None:
    frames = sample.frames
    with pytest.raises(MalformedAnswerError) as raised:
        await received(sample, *frames[: sample.silent + 1], garbage, *frames[sample.silent + 1 :])
    assert raised.value.text == PIECES[0]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_connection_lost_after_some_text_keeps_the_text(sample: Sample) -> None:
    with pytest.raises(StreamInterruptedError) as raised:
        await received(sample, *sample.frames[: sample.finish], httpx.ReadError("reset"))
    assert raised.value.text
    assert TEXT.startswith(raised.value.text)
    assert isinstance(raised.value.__cause__, ProviderConnectionError)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_connection_lost_before_any_text_is_a_lost_connection(sample: Sample) -> None:
    with pytest.raises(ProviderConnectionError):
        await received(sample, sample.frames[0], httpx.ReadError("reset"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_clean_close_within_an_event_is_a_lost_connection(sample: Sample) -> None:
    with pytest.raises(ProviderConnectionError, match="in the middle of an event"):
        await received(sample, sample.frames[0][:20])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_events_after_the_end_are_ignored(sample: Sample) -> None:
    expected = await received(sample, sample.stream)
    assert await received(sample, sample.stream, httpx.ReadError("reset")) == expected
    assert await received(sample, sample.stream, b"data: {half an ev") == expected


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_malformed_event_is_named(sample: Sample) -> None:
    event = b'data: {"type": "message_delta", "delta": 7, "choices": 7}\n\n'
    with pytest.raises(MalformedAnswerError, match=r"malformed answer: (choices|delta): "):
        await received(sample, *sample.frames[:3], event)


def openai_error(kind: str, code: str | None = None) -> tuple[str, JSONObject]:
    return "", {"error": {"message": "It broke.", "type": kind, "code": code, "param": None}}


def anthropic_error(kind: str) -> tuple[str, JSONObject]:
    return "error", {"type": "error", "error": {"type": kind, "message": "It broke."}}


@pytest.mark.parametrize(
    ("sample", "event", "kind"),
    [
        (OPENAI, openai_error("server_error"), ProviderUnavailableError),
        (OPENAI, openai_error("requests", "rate_limit_exceeded"), RateLimitError),
        (OPENAI, openai_error("insufficient_quota", "insufficient_quota"), QuotaExhaustedError),
        (OPENAI, openai_error("invalid_request_error"), RequestRefusedError),
        (OPENAI, openai_error("error_of_the_future"), ProviderUnavailableError),
        (ANTHROPIC, anthropic_error("overloaded_error"), ProviderUnavailableError),
        (ANTHROPIC, anthropic_error("api_error"), ProviderUnavailableError),
        (ANTHROPIC, anthropic_error("rate_limit_error"), RateLimitError),
        (ANTHROPIC, anthropic_error("billing_error"), QuotaExhaustedError),
        (ANTHROPIC, anthropic_error("authentication_error"), AuthenticationError),
        (ANTHROPIC, anthropic_error("error_of_the_future"), ProviderUnavailableError),
    ],
    ids=lambda value: value.name if isinstance(value, Sample) else None,
)
async def test_an_error_within_a_stream_is_one_of_ours(
    sample: Sample, event: tuple[str, JSONObject], kind: type[LLMError]
) -> None:
    broken = sample.with_events(*sample.events[:-4], event)
    with pytest.raises(LLMError, match="It broke") as raised:
        await received(broken, broken.stream)
    assert type(raised.value) is kind


async def test_an_openai_refusal_is_streamed_as_text() -> None:
    sample = OPENAI.with_events(
        openai_delta({"role": "assistant", "content": None, "refusal": ""}),
        openai_delta({"refusal": "I "}),
        openai_delta({"refusal": "won't."}),
        openai_delta({}, "stop"),
        OPENAI_USAGE_CHUNK,
        OPENAI_DONE,
    )
    events = await received(sample, sample.stream)
    assert text_of(events) == "I won't."
    assert isinstance(events[-1], Done)
    assert events[-1].response.finish_reason == "refusal"
    assert events[-1].response.content == "I won't."


async def test_openai_tool_calls_are_an_answer_without_text() -> None:
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}
    sample = OPENAI.with_events(
        openai_delta({"role": "assistant", "content": None, "tool_calls": [call]}),
        openai_delta({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        openai_delta({}, "tool_calls"),
        OPENAI_USAGE_CHUNK,
        OPENAI_DONE,
    )
    (done,) = await received(sample, sample.stream)
    assert isinstance(done, Done)
    assert done.response.finish_reason == "tool_calls"


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}, [], 7], ids=repr)
async def test_a_stream_without_usage_is_still_an_answer(usage: object) -> None:
    without = ("", {**OPENAI_USAGE_CHUNK[1], "usage": usage})
    sample = OPENAI.with_events(*(without if e is OPENAI_USAGE_CHUNK else e for e in OPENAI.events))
    with captured_logs() as logs:
        events = await received(sample, sample.stream)
    assert isinstance(events[-1], Done)
    assert events[-1].response.usage.total_tokens == 0
    assert len(logs.events("llm.usage_missing")) == 1


async def test_an_end_without_a_reason_is_no_end() -> None:
    sample = OPENAI.with_events(openai_delta({"content": "Hi"}), OPENAI_DONE)
    with pytest.raises(StreamInterruptedError) as raised:
        await received(sample, sample.stream)
    assert raised.value.text == "Hi"


async def test_other_choices_are_not_mixed_into_the_first() -> None:
    other = {"index": 1, "delta": {"content": "NO"}, "finish_reason": None}
    chunk = {**OPENAI_USAGE_CHUNK[1], "choices": [other]}
    sample = OPENAI.with_events(("", chunk), *OPENAI.events)
    assert text_of(await received(sample, sample.stream)) == TEXT


async def test_anthropic_totals_replace_earlier_ones() -> None:
    end = anthropic_end("end_turn")
    usage = {"output_tokens": 4, "input_tokens": 100, "cache_read_input_tokens": 50}
    sample = ANTHROPIC.with_events(
        ANTHROPIC_START, anthropic_text("Hi"), (end[0], {**end[1], "usage": usage}), ANTHROPIC_STOP
    )
    *_, done = await received(sample, sample.stream)
    assert isinstance(done, Done)
    assert done.response.usage.prompt_tokens == 100 + 3 + 50
    assert done.response.usage.completion_tokens == 4


async def test_an_anthropic_stream_needs_no_beginning() -> None:
    sample = ANTHROPIC.with_events(anthropic_text("Hi"), anthropic_end("end_turn"), ANTHROPIC_STOP)
    *_, done = await received(sample, sample.stream)
    assert isinstance(done, Done)
    assert done.response.content == "Hi"
    assert done.response.model == "anthropic-model"


async def test_an_anthropic_end_without_a_reason_is_no_end() -> None:
    sample = ANTHROPIC.with_events(ANTHROPIC_START, anthropic_text("Hi"), ANTHROPIC_STOP)
    with pytest.raises(StreamInterruptedError) as raised:
        await received(sample, sample.stream)
    assert raised.value.text == "Hi"
