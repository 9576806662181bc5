"""Tool calls, refusals, filters and cuts: each kind, from each provider, whole and streamed alike."""

import json

import pytest

from app.errors import MalformedAnswerError
from app.llm.providers.anthropic import convert as anthropic
from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.openai import convert as openai
from app.llm.providers.openai.streaming import StreamedCompletion
from tests.llm.answer_kinds import (
    ANTHROPIC_KINDS,
    OPENAI_KINDS,
    PARIS,
    TWO_CALLS,
    Kind,
    alike,
    streamed,
)
from tests.llm.samples import OPENAI, OPENAI_DONE, OPENAI_USAGE_CHUNK


@pytest.mark.parametrize("kind", OPENAI_KINDS.values(), ids=list(OPENAI_KINDS))
def test_openai_answers_each_kind_whole_and_streamed(kind: Kind) -> None:
    whole = openai.read_answer(json.dumps(kind.whole).encode(), model="asked")
    pieces = streamed(StreamedCompletion(), kind.events)
    kind.says(whole)
    kind.says(pieces)
    assert alike(pieces) == alike(whole)


@pytest.mark.parametrize("kind", ANTHROPIC_KINDS.values(), ids=list(ANTHROPIC_KINDS))
def test_anthropic_answers_each_kind_whole_and_streamed(kind: Kind) -> None:
    whole = anthropic.read_answer(json.dumps(kind.whole).encode(), model="asked")
    pieces = streamed(StreamedMessage(), kind.events)
    kind.says(whole)
    kind.says(pieces)
    assert alike(pieces) == alike(whole)


def test_a_stream_that_ends_without_any_choice_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError, match="choices: is empty"):
        streamed(StreamedCompletion(), [OPENAI_USAGE_CHUNK, OPENAI_DONE])


def test_tool_calls_are_in_the_answer_only_where_there_are_some() -> None:
    response = OPENAI.response
    assert "tool_calls" not in response.model_dump()
    called = response.model_copy(update={"tool_calls": TWO_CALLS[1:]})
    assert called.model_dump()["tool_calls"] == (
        {"id": "c2", "name": "weather", "arguments": PARIS},
    )
