"""Streams of OpenAI and Anthropic in their own forms: errors, refusals, tool calls, usage."""

import pytest

from app.errors import (
    AuthenticationError,
    LLMError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    StreamInterruptedError,
)
from app.llm.types import Done
from app.testing import captured_logs
from tests.llm.samples import (
    ANTHROPIC,
    ANTHROPIC_START,
    ANTHROPIC_STOP,
    OPENAI,
    OPENAI_DONE,
    OPENAI_USAGE_CHUNK,
    TEXT,
    JSONObject,
    Sample,
    anthropic_end,
    anthropic_text,
    openai_delta,
)
from tests.llm.stream_samples import received, text_of


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
