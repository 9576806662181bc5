"""The streams of both wire formats, cut at any place."""

import random
from itertools import pairwise

import httpx2 as httpx
import pytest

from app.errors import MalformedAnswerError, ProviderConnectionError, StreamInterruptedError
from app.llm.types import Done, TextDelta
from tests.llm.samples import PIECES, SAMPLES, TEXT, Sample
from tests.llm.stream_samples import received


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
