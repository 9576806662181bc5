"""The OpenAI SDK against the mock's chat completions."""

import json
from typing import TYPE_CHECKING

import httpx2
import pytest
from pydantic import BaseModel

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

HELLO: "list[ChatCompletionMessageParam]" = [{"role": "user", "content": "Hello, my friend!"}]
WEATHER: "ChatCompletionToolParam" = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
        },
    },
}


async def test_the_answer_repeats_the_question_and_names_the_mock(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert (
        answer.choices[0].message.content == 'This is the mock API. You said: "Hello, my friend!"'
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "gpt-4o"


async def test_usage_counts_words_and_punctuation(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 5
    assert answer.usage.completion_tokens == 16
    assert answer.usage.total_tokens == 21


async def test_a_stream_says_the_same_piece_by_piece(openai: "AsyncOpenAI") -> None:
    whole = await openai.chat.completions.create(model="gpt-4o", messages=HELLO)
    stream = await openai.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert pieces[1:4] == ["This", " is", " the"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage
    assert all("usage" in chunk.model_fields_set for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_a_stream_reports_usage_only_when_asked(openai: "AsyncOpenAI") -> None:
    stream = await openai.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    assert all(["usage" not in chunk.model_fields_set async for chunk in stream])


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_a_token_limit_cuts_the_answer(api: httpx2.AsyncClient, limit: str) -> None:
    asked = {"model": "gpt-4o", "messages": HELLO, limit: 3}
    answer = (await api.post("/v1/chat/completions", json=asked)).json()
    assert answer["choices"][0]["message"]["content"] == "This is the"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize(
    "stop", [" API", ["nowhere", " You", " API"]], ids=["text", "first of a list"]
)
async def test_a_stop_text_ends_the_answer(openai: "AsyncOpenAI", stop: str | list[str]) -> None:
    answer = await openai.chat.completions.create(model="gpt-4o", messages=HELLO, stop=stop)
    assert answer.choices[0].message.content == "This is the mock"
    assert answer.choices[0].finish_reason == "stop"


async def test_a_tool_is_called_with_arguments_of_its_schema(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.create(model="gpt-4o", messages=HELLO, tools=[WEATHER])
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "mock city", "unit": "celsius"}


async def test_tool_arguments_are_streamed_in_fragments(openai: "AsyncOpenAI") -> None:
    async with openai.chat.completions.stream(
        model="gpt-4o", messages=HELLO, tools=[WEATHER]
    ) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert kinds.count("tool_calls.function.arguments.delta") > 3
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].id.startswith("call_")
    assert json.loads(calls[0].function.arguments)["unit"] == "celsius"


async def test_the_named_tool_is_the_one_called(openai: "AsyncOpenAI") -> None:
    other: ChatCompletionToolParam = {"type": "function", "function": {"name": "other"}}
    answer = await openai.chat.completions.create(
        model="gpt-4o",
        messages=HELLO,
        tools=[WEATHER, other],
        tool_choice={"type": "function", "function": {"name": "other"}},
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "other"
    assert calls[0].function.arguments == "{}"


async def test_a_tool_may_be_forbidden(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.create(
        model="gpt-4o", messages=HELLO, tools=[WEATHER], tool_choice="none"
    )
    assert answer.choices[0].finish_reason == "stop"


async def test_after_a_tool_result_the_answer_is_text(openai: "AsyncOpenAI") -> None:
    first = await openai.chat.completions.create(model="gpt-4o", messages=HELLO, tools=[WEATHER])
    calls = first.choices[0].message.tool_calls
    assert calls is not None
    said = first.choices[0].message.model_dump(exclude_none=True)
    result = {"role": "tool", "tool_call_id": calls[0].id, "content": "21 degrees"}
    answer = await openai.chat.completions.create(
        model="gpt-4o",
        messages=[*HELLO, said, result],  # type: ignore[list-item]  # the SDK's own way to dump it
        tools=[WEATHER],
    )
    content = answer.choices[0].message.content
    assert content == 'This is the mock API. The tool answered: "21 degrees"'


CLOCK: "ChatCompletionToolParam" = {"type": "function", "function": {"name": "clock"}}
BOTH: "list[ChatCompletionMessageParam]" = [{"role": "user", "content": "clock and weather"}]


@pytest.mark.parametrize(
    ("parallel", "called"), [(True, ["weather", "clock"]), (False, ["weather"])]
)
async def test_all_tools_that_the_question_names_are_called_unless_one_is_allowed(
    openai: "AsyncOpenAI", *, parallel: bool, called: list[str]
) -> None:
    stream = openai.chat.completions.stream(
        model="gpt-4o", messages=BOTH, tools=[WEATHER, CLOCK], parallel_tool_calls=parallel
    )
    async with stream as events:
        calls = (await events.get_final_completion()).choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == called
    assert len({call.id for call in calls}) == len(called)
    assert all(json.loads(call.function.arguments) is not None for call in calls)


AFTER_A_RESULT: "list[ChatCompletionMessageParam]" = [
    *HELLO,
    {
        "role": "assistant",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "1", "content": "21 degrees"},
]


async def test_a_required_tool_is_called_after_a_result_too(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.create(
        model="gpt-4o", messages=AFTER_A_RESULT, tools=[WEATHER], tool_choice="required"
    )
    assert answer.choices[0].finish_reason == "tool_calls"


class Person(BaseModel):
    name: str
    age: int
    tags: list[str]


async def test_structured_output_satisfies_the_model(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.parse(
        model="gpt-4o", messages=HELLO, response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="mock name", age=1, tags=["mock tags"])


async def test_json_mode_answers_with_an_object(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.create(
        model="gpt-4o", messages=HELLO, response_format={"type": "json_object"}
    )
    content = json.loads(answer.choices[0].message.content or "")
    assert content["answer"].startswith("This is the mock API.")


async def test_the_same_request_gives_the_same_bytes(api: httpx2.AsyncClient) -> None:
    asked = {"model": "gpt-4o", "messages": HELLO, "stream": True}
    first = await api.post("/v1/chat/completions", json=asked)
    second = await api.post("/v1/chat/completions", json=asked)
    other = await api.post("/v1/chat/completions", json=asked | {"user": "someone"})
    assert first.content == second.content != other.content


async def test_content_may_be_a_list_of_parts(openai: "AsyncOpenAI") -> None:
    answer = await openai.chat.completions.create(
        model="gpt-4o",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ],
    )
    assert "What is it?" in (answer.choices[0].message.content or "")


async def test_models_are_listed_and_found(openai: "AsyncOpenAI") -> None:
    names = [model.id async for model in openai.models.list()]
    assert "gpt-4o-mini" in names
    assert (await openai.models.retrieve("my/own-model")).id == "my/own-model"
