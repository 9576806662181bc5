"""Pings show that a server is alive; only text, tool arguments and thinking are progress."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import pytest

from app.errors import ProviderTimeoutError
from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import Done, StreamEvent, TextDelta
from tests.llm.faults import EVENTS
from tests.llm.loopback import head, loopback, sends
from tests.llm.samples import (
    ANTHROPIC,
    ANTHROPIC_SDK,
    OPENAI,
    OPENAI_SDK,
    REQUEST,
    SAMPLES,
    Sample,
    frame,
    openai_delta,
)

POLICY = HTTPPolicy(stream_chunk_timeout_s=5, stream_silence_timeout_s=0.3)
EVERY_S = 0.03

PING = frame("ping", {"type": "ping"})
ANTHROPIC_SIGNS = {
    "ping": PING,
    "empty text": frame(
        "content_block_delta",
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": ""}},
    ),
    "unknown event": frame("beat", {"type": "beat"}),
}
OPENAI_SIGNS = {
    "empty delta": frame(*openai_delta({})),
    "empty content": frame(*openai_delta({"content": ""})),
    "role again": frame(*openai_delta({"role": "assistant", "content": None})),
}

FAST = {("anthropic", "ping"), ("openai", "empty delta")}
CASES = [
    pytest.param(
        sample,
        sign,
        id=f"{sample.name}-{name}",
        marks=[] if (sample.name, name) in FAST else [pytest.mark.slow],
    )
    for samples, signs in (
        ((ANTHROPIC, ANTHROPIC_SDK), ANTHROPIC_SIGNS),
        ((OPENAI, OPENAI_SDK), OPENAI_SIGNS),
    )
    for sample in samples
    for name, sign in signs.items()
]


async def received(sample: Sample, pieces: Sequence[bytes], policy: HTTPPolicy) -> StreamEvent:
    """The last event of the stream."""
    reply = sends(head(EVENTS), *pieces, every_s=EVERY_S)
    async with loopback(reply) as server, open_connections(policy) as connections:
        events = [
            event async for event in sample.model(connections, server.base_url).stream(REQUEST)
        ]
        await server.until_idle()
    return events[-1]


@pytest.mark.parametrize(("sample", "sign"), CASES)
async def test_signs_of_life_before_any_text_time_out(sample: Sample, sign: bytes) -> None:
    started = perf_counter()
    with pytest.raises(ProviderTimeoutError, match="but no text"):
        await received(sample, [sample.frames[0], *[sign] * 100], POLICY)
    assert perf_counter() - started < 3


@pytest.mark.parametrize(("sample", "sign"), CASES)
async def test_signs_of_life_after_some_text_time_out(sample: Sample, sign: bytes) -> None:
    start = b"".join(sample.frames[: sample.silent + 1])
    reply = sends(head(EVENTS), start, *[sign] * 100, every_s=EVERY_S)
    async with loopback(reply) as server, open_connections(POLICY) as connections:
        stream = sample.model(connections, server.base_url).stream(REQUEST)
        assert isinstance(await anext(stream), TextDelta)
        with pytest.raises(ProviderTimeoutError, match="but no text"):
            await anext(stream)


@pytest.mark.parametrize(("sample", "sign"), CASES)
async def test_signs_of_life_between_text_keep_a_slow_stream_open(
    sample: Sample, sign: bytes
) -> None:
    """Each pause is longer than the time between two events may be, and shorter than silence."""
    impatient = replace(POLICY, stream_chunk_timeout_s=0.6, stream_silence_timeout_s=5)
    first, rest = sample.frames[: sample.silent + 1], sample.frames[sample.silent + 1 :]
    pause = [sign] * 25
    last = await received(sample, [b"".join(first), *pause, b"".join(rest)], impatient)
    assert last == Done(sample.response)


@pytest.mark.parametrize("sample", [ANTHROPIC, ANTHROPIC_SDK], ids=lambda sample: sample.name)
@pytest.mark.parametrize(
    ("block", "delta"),
    [
        pytest.param(
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm. "},
            id="thinking",
        ),
        pytest.param(
            {"type": "tool_use", "id": "t1", "name": "look", "input": {}},
            {"type": "input_json_delta", "partial_json": " "},
            id="tool arguments",
        ),
    ],
)
async def test_thinking_and_tool_arguments_are_progress(
    sample: Sample, block: dict[str, object], delta: dict[str, object]
) -> None:
    begin = frame(
        "content_block_start", {"type": "content_block_start", "index": 9, "content_block": block}
    )
    work = frame("content_block_delta", {"type": "content_block_delta", "index": 9, "delta": delta})
    pieces = [sample.frames[0] + begin, *[work] * 25, b"".join(sample.frames[1:])]
    policy = replace(POLICY, stream_silence_timeout_s=0.6)
    assert isinstance(await received(sample, pieces, policy), Done)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_comments_are_no_events_and_keep_nothing_alive(sample: Sample) -> None:
    impatient = replace(POLICY, stream_chunk_timeout_s=0.3, stream_silence_timeout_s=30)
    start = b"".join(sample.frames[: sample.silent + 1])
    started = perf_counter()
    with pytest.raises(ProviderTimeoutError, match="did not answer in time"):
        await received(sample, [start, *[b": keep-alive\n\n"] * 100], impatient)
    assert perf_counter() - started < 2


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_the_time_to_the_first_text_is_limited_from_the_request_on(sample: Sample) -> None:
    """Otherwise the deadline of all attempts would cancel it, and no circuit would count a failure."""
    policy = replace(POLICY, stream_silence_timeout_s=60, stream_open_timeout_s=0.3)
    sign = PING if "anthropic" in sample.name else OPENAI_SIGNS["empty delta"]
    with pytest.raises(ProviderTimeoutError):
        await received(sample, [sample.frames[0], *[sign] * 100], policy)


@pytest.mark.parametrize("sample", [OPENAI, ANTHROPIC], ids=lambda sample: sample.name)
async def test_the_time_that_the_reader_takes_is_not_silence(sample: Sample) -> None:
    policy = replace(POLICY, stream_silence_timeout_s=0.3, stream_chunk_timeout_s=0.3)
    reply = sends(head(EVENTS), sample.stream)
    async with loopback(reply) as server, open_connections(policy) as connections:
        events = []
        async for event in sample.model(connections, server.base_url).stream(REQUEST):
            events.append(event)
            await asyncio.sleep(0.15)
    assert events[-1] == Done(sample.response)
