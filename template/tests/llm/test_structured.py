"""Structured output as a Pydantic model: the request, the next attempts, the last error."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import BaseModel, Field

from app.cache import MemoryCache
from app.errors import (
    ContextTooLongError,
    MalformedAnswerError,
    NoValidAnswerError,
    ProviderUnavailableError,
    RequestRefusedError,
    StreamInterruptedError,
)
from app.llm.guards.cached import Cached
from app.llm.guards.guard import stacked
from app.llm.structured.ask import ask_for
from app.llm.structured.schema import answer_schema
from app.llm.types import ChatRequest, FinishReason, Message, StreamEvent
from app.testing import CapturedLogs, FakeChatModel

QUESTION = ChatRequest((Message("user", "Which mountain?"),), tenant="t1")


class Mountain(BaseModel):
    name: str
    height_m: int = Field(ge=0)


GOOD = '{"name": "Zugspitze", "height_m": 2962}'
ZUGSPITZE = Mountain(name="Zugspitze", height_m=2962)
BAD = '{"name": "Zugspitze", "height_m": "SECRET"}'


async def test_a_valid_answer_is_an_instance() -> None:
    assert await ask_for(Mountain, FakeChatModel(f"Sure: {GOOD}"), QUESTION) == ZUGSPITZE


async def test_the_schema_goes_out_with_the_question() -> None:
    model = FakeChatModel(GOOD)
    await ask_for(Mountain, model, QUESTION)
    (request,) = model.requests
    assert request.answer_schema == answer_schema(Mountain)
    assert (request.messages, request.tenant) == (QUESTION.messages, "t1")


async def test_the_next_attempt_contains_the_errors_of_the_last() -> None:
    model = FakeChatModel(BAD, GOOD)
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    question, answer, correction = model.requests[1].messages
    assert question == QUESTION.messages[0]
    assert answer == Message("assistant", BAD)
    assert correction.role == "user"
    assert "- height_m: Input should be a valid integer" in correction.content
    assert json.dumps(answer_schema(Mountain).schema) in correction.content


async def test_only_the_last_answer_is_sent_back() -> None:
    model = FakeChatModel("first", "second", GOOD)
    await ask_for(Mountain, model, QUESTION)
    assert [message.content for message in model.requests[2].messages[:2]] == [
        "Which mountain?",
        "second",
    ]
    assert len(model.requests[2].messages) == 3


async def test_an_endless_answer_is_not_repeated_endlessly() -> None:
    model = FakeChatModel("x" * 1_000_000, GOOD)
    await ask_for(Mountain, model, QUESTION)
    assert sum(len(message.content) for message in model.requests[1].messages) < 25_000


async def test_an_empty_answer_is_not_sent_back() -> None:
    """Providers refuse a message without content."""
    model = FakeChatModel(" ", GOOD)
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    assert [message.role for message in model.requests[1].messages] == ["user", "user"]


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_the_last_invalid_answer_is_an_error(attempts: int) -> None:
    model = FakeChatModel(BAD)
    with pytest.raises(NoValidAnswerError, match="fake gave no valid Mountain in") as raised:
        await ask_for(Mountain, model, QUESTION, attempts=attempts)
    assert len(model.requests) == raised.value.attempts == attempts
    assert raised.value.problems[0].startswith("height_m: Input should be a valid integer")
    assert raised.value.provider == "fake"
    assert "SECRET" not in raised.value.message


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("length", "cut off"),
        ("content_filter", "filter stopped"),
        ("refusal", "refused to answer"),
    ],
)
async def test_an_answer_that_another_attempt_cannot_improve_is_not_requested_again(
    reason: FinishReason, why: str
) -> None:
    model = FakeChatModel('{"name": "Zug', finish_reason=reason)
    with pytest.raises(NoValidAnswerError, match=why) as raised:
        await ask_for(Mountain, model, QUESTION)
    assert raised.value.attempts == len(model.requests) == 1


async def test_an_answer_that_was_whole_before_the_cut_is_used() -> None:
    model = FakeChatModel(GOOD, finish_reason="length")
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE


async def test_silence_after_the_answer_does_not_delay_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.llm.structured.ask._SILENCE_S", 0.01)
    model = FakeChatModel([GOOD[:9], GOOD[9:], lambda: asyncio.sleep(3600), "An afterthought"])
    async with asyncio.timeout(5):
        assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    assert model.open_streams == 0


DRAFT = '{"name": "draft", "height_m": 1}'


@pytest.mark.parametrize(
    "pieces",
    [
        ["<think>", DRAFT, "</think>", GOOD],
        [DRAFT, "</think>", GOOD],
        [DRAFT, " or", lambda: asyncio.sleep(0.05), " not", "</", "think>", GOOD],
        ["<|channel|>analysis<|message|>", DRAFT, "<|end|><|channel|>final<|message|>", GOOD],
    ],
    ids=["a thought", "without its beginning", "with a pause", "a channel"],
)
async def test_a_draft_in_a_thought_is_not_the_answer(pieces: list[Any]) -> None:
    model = FakeChatModel(pieces)
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    assert len(model.requests) == 1


async def test_an_answer_that_is_all_thoughts_is_asked_for_again() -> None:
    model = FakeChatModel(f"<think>{DRAFT}", f"{DRAFT}</think>", GOOD)
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    assert "ends inside the model's thoughts" in model.requests[1].messages[-1].content


async def test_a_thought_that_is_cut_off_is_no_answer() -> None:
    model = FakeChatModel(f"<think>{DRAFT}", finish_reason="length")
    with pytest.raises(NoValidAnswerError, match="cut off"):
        await ask_for(Mountain, model, QUESTION)


async def test_a_failure_after_the_answer_is_ignored() -> None:
    model = FakeChatModel([GOOD, StreamInterruptedError("gone", text=GOOD)])
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE


async def test_a_stream_that_ends_with_its_answer_is_cached() -> None:
    model = FakeChatModel(GOOD)
    cached = stacked(model, [Cached(MemoryCache())])
    answers = [await ask_for(Mountain, cached, QUESTION) for _ in range(2)]
    assert answers == [ZUGSPITZE, ZUGSPITZE]
    assert len(model.requests) == 1


@pytest.mark.parametrize("status", [400, 422])
async def test_a_provider_without_a_json_mode_gets_the_schema_in_the_prompt(status: int) -> None:
    model = FakeChatModel(RequestRefusedError("response_format?", status=status), BAD, GOOD)
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    refused, asked, again = model.requests
    assert refused.answer_schema is not None
    assert asked.answer_schema is again.answer_schema is None
    assert asked.messages[0].role == again.messages[0].role == "system"
    assert json.dumps(answer_schema(Mountain).schema) in asked.messages[0].content
    assert asked.messages[1:] == QUESTION.messages


@pytest.mark.parametrize(
    "error",
    [
        RequestRefusedError("too large", status=413),
        ContextTooLongError("too long", status=400),
        RequestRefusedError("?"),
        ProviderUnavailableError("down"),
    ],
    ids=["too large", "too long", "no status", "unavailable"],
)
async def test_any_other_error_is_raised_to_the_caller(error: Exception) -> None:
    model = FakeChatModel(error)
    with pytest.raises(type(error)):
        await ask_for(Mountain, model, QUESTION)
    assert len(model.requests) == 1


async def test_a_second_refusal_is_raised_to_the_caller() -> None:
    model = FakeChatModel(RequestRefusedError("no such thing", status=400))
    with pytest.raises(RequestRefusedError):
        await ask_for(Mountain, model, QUESTION)
    assert len(model.requests) == 2


class Endless(FakeChatModel):
    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        async for event in super().stream(request):
            yield event
            break


async def test_a_stream_without_an_end_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError, match="without an end"):
        await ask_for(Mountain, Endless("Hello"), QUESTION)


async def test_an_invalid_answer_is_logged_without_its_content(logs: CapturedLogs) -> None:
    await ask_for(Mountain, FakeChatModel(BAD, GOOD), QUESTION)
    (line,) = logs.events("llm.answer_invalid")
    assert (line["provider"], line["wanted"], line["attempt"]) == ("fake", "Mountain", 1)
    assert line["errors"][0]["loc"] == "height_m"
    assert line["errors"][0]["type"] == "int_parsing"
    assert "SECRET" not in logs.text


async def test_an_invalid_cached_answer_is_requested_again() -> None:
    model = FakeChatModel(BAD, BAD, GOOD)
    cached = stacked(model, [Cached(MemoryCache())])
    with pytest.raises(NoValidAnswerError):
        await ask_for(Mountain, cached, QUESTION, attempts=2)
    assert await ask_for(Mountain, cached, QUESTION, attempts=2) == ZUGSPITZE
    assert len(model.requests) == 3  # the first answer cost nothing the second time
