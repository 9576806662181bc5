"""Ask for a Pydantic model: what is sent, what is tried again, and when it is given up."""

import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from pydantic import BaseModel, Field

from app.cache.memory import MemoryCache
from app.errors import (
    MalformedAnswer,
    NoValidAnswer,
    ProviderUnavailable,
    RequestRefused,
    StreamInterrupted,
)
from app.llm.strict_schema import answer_schema
from app.llm.structured import ask_for
from app.llm.types import ChatRequest, FinishReason, Message, StreamEvent
from app.llm.wrappers.cached import Cached
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


async def test_the_model_is_told_what_was_wrong() -> None:
    model = FakeChatModel(BAD, GOOD)
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    question, answer, correction = model.requests[1].messages
    assert question == QUESTION.messages[0]
    assert answer == Message("assistant", BAD)
    assert correction.role == "user"
    assert "- height_m: Input should be a valid integer" in correction.content
    assert json.dumps(answer_schema(Mountain).schema) in correction.content


async def test_only_the_last_answer_is_talked_about() -> None:
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
async def test_it_is_given_up_after_the_last_attempt(attempts: int) -> None:
    model = FakeChatModel(BAD)
    with pytest.raises(NoValidAnswer, match="fake gave no valid Mountain in") as raised:
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
async def test_what_asking_again_cannot_change_is_not_asked_again(
    reason: FinishReason, why: str
) -> None:
    model = FakeChatModel('{"name": "Zug', finish_reason=reason)
    with pytest.raises(NoValidAnswer, match=why) as raised:
        await ask_for(Mountain, model, QUESTION)
    assert raised.value.attempts == len(model.requests) == 1


async def test_an_answer_that_was_whole_before_the_cut_is_used() -> None:
    model = FakeChatModel(GOOD, finish_reason="length")
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE


async def test_nobody_waits_for_what_comes_behind_the_answer() -> None:
    model = FakeChatModel([GOOD[:9], GOOD[9:], lambda: asyncio.sleep(3600), "An afterthought"])
    async with asyncio.timeout(5):
        assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    assert model.open_streams == 0


async def test_what_breaks_behind_the_answer_does_not_matter() -> None:
    model = FakeChatModel([GOOD, StreamInterrupted("gone", text=GOOD)])
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE


async def test_a_stream_that_ends_with_its_answer_is_cached() -> None:
    model = FakeChatModel(GOOD)
    cached = Cached(model, MemoryCache())
    answers = [await ask_for(Mountain, cached, QUESTION) for _ in range(2)]
    assert answers == [ZUGSPITZE, ZUGSPITZE]
    assert len(model.requests) == 1


@pytest.mark.parametrize("status", [400, 422])
async def test_a_provider_without_a_json_mode_gets_the_schema_in_the_prompt(status: int) -> None:
    model = FakeChatModel(RequestRefused("response_format?", status=status), BAD, GOOD)
    assert await ask_for(Mountain, model, QUESTION) == ZUGSPITZE
    refused, asked, again = model.requests
    assert refused.answer_schema is not None
    assert asked.answer_schema is again.answer_schema is None
    assert asked.messages[0].role == again.messages[0].role == "system"
    assert json.dumps(answer_schema(Mountain).schema) in asked.messages[0].content
    assert asked.messages[1:] == QUESTION.messages


@pytest.mark.parametrize(
    "error",
    [RequestRefused("too large", status=413), RequestRefused("?"), ProviderUnavailable("down")],
    ids=["too large", "no status", "unavailable"],
)
async def test_any_other_error_is_the_callers(error: Exception) -> None:
    model = FakeChatModel(error)
    with pytest.raises(type(error)):
        await ask_for(Mountain, model, QUESTION)
    assert len(model.requests) == 1


async def test_a_second_refusal_is_the_callers() -> None:
    model = FakeChatModel(RequestRefused("no such thing", status=400))
    with pytest.raises(RequestRefused):
        await ask_for(Mountain, model, QUESTION)
    assert len(model.requests) == 2


class Endless(FakeChatModel):
    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        async for event in super().stream(request):
            yield event
            break


async def test_a_stream_without_an_end_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="without an end"):
        await ask_for(Mountain, Endless("Hello"), QUESTION)


async def test_an_invalid_answer_is_logged_without_what_it_said(logs: CapturedLogs) -> None:
    await ask_for(Mountain, FakeChatModel(BAD, GOOD), QUESTION)
    (line,) = logs.events("llm.answer_invalid")
    assert (line["provider"], line["wanted"], line["attempt"]) == ("fake", "Mountain", 1)
    assert line["errors"][0]["loc"] == "height_m"
    assert line["errors"][0]["type"] == "int_parsing"
    assert "SECRET" not in logs.text


async def test_what_the_cache_knows_to_be_invalid_is_asked_about_again() -> None:
    model = FakeChatModel(BAD, BAD, GOOD)
    cached = Cached(model, MemoryCache())
    with pytest.raises(NoValidAnswer):
        await ask_for(Mountain, cached, QUESTION, attempts=2)
    assert await ask_for(Mountain, cached, QUESTION, attempts=2) == ZUGSPITZE
    assert len(model.requests) == 3  # the first answer cost nothing the second time
