"""The Anthropic SDK against the mock's messages."""

from typing import TYPE_CHECKING

import httpx2
import pytest
from pydantic import BaseModel

from tests import sdk

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.types import MessageParam, ToolParam

MODEL = "claude-mock"
HELLO: "list[MessageParam]" = [{"role": "user", "content": "Hello, my friend!"}]
SAID = 'This is the mock API. You said: "Hello, my friend!"'
WEATHER: "ToolParam" = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
        "required": ["city", "days"],
    },
}


async def test_the_answer_repeats_the_question_and_names_the_mock(
    anthropic: "AsyncAnthropic",
) -> None:
    answer = await anthropic.messages.create(model=MODEL, max_tokens=100, messages=HELLO)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == SAID
    assert answer.stop_reason == "end_turn"
    assert answer.model == MODEL


@pytest.mark.parametrize(
    "system", ["Be kind.", [{"type": "text", "text": "Be kind."}]], ids=["text", "blocks"]
)
async def test_usage_counts_words_and_punctuation(api: httpx2.AsyncClient, system: object) -> None:
    asked = {"model": MODEL, "max_tokens": 100, "messages": HELLO, "system": system}
    usage = (await api.post("/v1/messages", json=asked)).json()["usage"]
    assert usage["input_tokens"] == 5 + 3
    assert usage["output_tokens"] == 16


async def test_a_stream_says_the_same_piece_by_piece(anthropic: "AsyncAnthropic") -> None:
    async with anthropic.messages.stream(model=MODEL, max_tokens=100, messages=HELLO) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    assert pieces[:3] == ["This", " is", " the"]
    assert "".join(pieces) == SAID
    assert final.stop_reason == "end_turn"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (5, 16)


async def test_a_stream_follows_the_event_grammar(api: httpx2.AsyncClient) -> None:
    asked = {"model": MODEL, "max_tokens": 2, "messages": HELLO, "stream": True}
    answer = await api.post("/v1/messages", json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_a_token_limit_cuts_the_answer(anthropic: "AsyncAnthropic") -> None:
    answer = await anthropic.messages.create(model=MODEL, max_tokens=3, messages=HELLO)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "This is the"
    assert answer.stop_reason == "max_tokens"


async def test_a_stop_sequence_ends_the_answer_and_is_named(anthropic: "AsyncAnthropic") -> None:
    answer = await anthropic.messages.create(
        model=MODEL, max_tokens=100, messages=HELLO, stop_sequences=["nowhere", " API"]
    )
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "This is the mock"
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", " API")


async def test_a_tool_is_used_with_input_of_its_schema(anthropic: "AsyncAnthropic") -> None:
    answer = await anthropic.messages.create(
        model=MODEL, max_tokens=100, messages=HELLO, tools=[WEATHER]
    )
    assert answer.stop_reason == "tool_use"
    assert answer.content[0].type == "tool_use"
    assert answer.content[0].name == "weather"
    assert answer.content[0].input == {"city": "mock city", "days": 2}


async def test_tool_input_is_streamed_in_fragments(anthropic: "AsyncAnthropic") -> None:
    async with anthropic.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=HELLO,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "weather"},
    ) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert kinds.count("input_json") > 3
    assert final.content[0].type == "tool_use"
    assert final.content[0].input == {"city": "mock city", "days": 2}


@pytest.mark.parametrize("one_only", [False, True], ids=["parallel", "one only"])
async def test_all_tools_that_the_question_names_are_used_unless_one_is_allowed(
    anthropic: "AsyncAnthropic", *, one_only: bool
) -> None:
    stream = anthropic.messages.stream(
        model=MODEL,
        max_tokens=100,
        messages=[{"role": "user", "content": "clock and weather"}],
        tools=[WEATHER, {"name": "clock", "input_schema": {"type": "object"}}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": one_only},
    )
    async with stream as events:
        blocks = (await events.get_final_message()).content
    names = [block.name for block in blocks if block.type == "tool_use"]
    assert names == ["weather", "clock"][: 1 if one_only else 2]


async def test_after_a_tool_result_the_answer_is_text(anthropic: "AsyncAnthropic") -> None:
    first = await anthropic.messages.create(
        model=MODEL, max_tokens=100, messages=HELLO, tools=[WEATHER]
    )
    assert first.content[0].type == "tool_use"
    answer = await anthropic.messages.create(
        model=MODEL,
        max_tokens=100,
        tools=[WEATHER],
        messages=[
            *HELLO,
            {"role": "assistant", "content": first.content},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": first.content[0].id,
                        "content": "21 degrees",
                    }
                ],
            },
        ],
    )
    assert answer.content[0].type == "text"
    assert "21 degrees" in answer.content[0].text


class Person(BaseModel):
    name: str
    age: int


async def test_structured_output_satisfies_the_model(anthropic: "AsyncAnthropic") -> None:
    answer = await anthropic.messages.parse(
        model=MODEL, max_tokens=100, messages=HELLO, output_format=Person
    )
    assert answer.parsed_output == Person(name="mock name", age=1)


async def test_the_same_request_gives_the_same_bytes(api: httpx2.AsyncClient) -> None:
    asked = {"model": MODEL, "max_tokens": 100, "messages": HELLO}
    first = await api.post("/v1/messages", json=asked)
    second = await api.post("/v1/messages", json=asked)
    assert first.content == second.content
    assert first.headers["request-id"] == second.headers["request-id"]


async def test_models_are_listed(anthropic: "AsyncAnthropic") -> None:
    names = [model.id async for model in anthropic.models.list()]
    assert "claude-haiku-4-5" in names


async def test_a_list_of_models_needs_a_key(anthropic: "AsyncAnthropic") -> None:
    with pytest.raises(sdk.anthropic.AuthenticationError) as refused:
        await anthropic.with_options(api_key="invalid").models.list()
    assert refused.value.type == "authentication_error"
