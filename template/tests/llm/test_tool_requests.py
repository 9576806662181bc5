"""Tools, tool calls, results and images in the words of both providers."""

import json
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import JsonValue

from app.errors import UnsupportedRequestError
from app.llm.estimates import prompt_tokens
from app.llm.http import HTTPPolicy, open_connections
from app.llm.providers.policy import Facts, Images, ProviderPolicy
from app.llm.types import (
    ANY_OBJECT,
    AnswerSchema,
    ChatRequest,
    ImagePart,
    Message,
    NamedTool,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from tests.llm.samples import ANTHROPIC, ANTHROPIC_SDK, OPENAI, OPENAI_SDK, Sample, ask

SCHEMA: dict[str, JsonValue] = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = Tool("weather", "The weather now", SCHEMA)
CONVERSATION = (
    Message("system", "Be brief."),
    Message("user", "How is the weather in Bonn and Ulm?"),
    Message(
        "assistant",
        "Let me see.",
        tool_calls=(
            ToolCall(id="call_1", name="weather", arguments='{"city": "Bonn"}'),
            ToolCall(id="call 2", name="weather", arguments='{"city": '),
        ),
    ),
    Message("tool", "Rain", tool_call_id="call_1"),
    Message("tool", "", tool_call_id="call 2"),
    Message("user", "And tomorrow?"),
)
REQUEST = ChatRequest(CONVERSATION, tools=(WEATHER,), temperature=0.5)
PHOTO = Message(
    "user",
    (
        TextPart("What is this?"),
        ImagePart("data:image/png;base64,iVBOR=="),
        ImagePart("https://example.com/a.jpg", "low"),
    ),
)


async def sent(sample: Sample, request: ChatRequest, *, stream: bool = False) -> dict[str, Any]:
    """The body that the provider gets."""
    bodies: list[dict[str, Any]] = []

    def answer(received: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(received.content))
        content = sample.stream if stream else sample.body
        kind = "text/event-stream" if stream else "application/json"
        return httpx.Response(200, content=content, headers={"Content-Type": kind})

    async with open_connections(HTTPPolicy(), httpx.MockTransport(answer)) as connections:
        await ask(sample.model(connections), request, stream=stream)
    return bodies[0]


async def test_openai_gets_tools_calls_and_results() -> None:
    body = await sent(OPENAI, REQUEST)
    function = {"name": "weather", "description": "The weather now", "parameters": SCHEMA}
    assert body["tools"] == [{"type": "function", "function": function}]
    bonn = {"name": "weather", "arguments": '{"city": "Bonn"}'}
    broken = {"name": "weather", "arguments": '{"city": '}
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is the weather in Bonn and Ulm?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": bonn},
                {"id": "call 2", "type": "function", "function": broken},
            ],
        },
        {"role": "tool", "content": "Rain", "tool_call_id": "call_1"},
        {"role": "tool", "content": "", "tool_call_id": "call 2"},
        {"role": "user", "content": "And tomorrow?"},
    ]


async def test_anthropic_gets_all_results_of_a_turn_in_one_message_of_the_user() -> None:
    body = await sent(ANTHROPIC, REQUEST)
    assert body["tools"] == [
        {"name": "weather", "description": "The weather now", "input_schema": SCHEMA}
    ]
    assert body["messages"] == [
        {"role": "user", "content": "How is the weather in Bonn and Ulm?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {
                    "type": "tool_use",
                    "id": "call_1",
                    "name": "weather",
                    "input": {"city": "Bonn"},
                },
                {
                    "type": "tool_use",
                    "id": "call_2",
                    "name": "weather",
                    "input": {"invalid_json": '{"city": '},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "Rain"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": ""},
            ],
        },
        {"role": "user", "content": "And tomorrow?"},
    ]


async def test_a_call_without_text_has_no_text_in_either_language() -> None:
    call = ToolCall(id="c", name="weather", arguments="{}")
    asked = Message("user", "Hi"), Message("assistant", "", (call,)), Message("tool", "x", (), "c")
    request = ChatRequest(asked, tools=(WEATHER,))
    assert (await sent(OPENAI, request))["messages"][1]["content"] is None
    blocks = (await sent(ANTHROPIC, request))["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["tool_use"]


@pytest.mark.parametrize(
    ("choice", "parallel", "openai", "anthropic"),
    [
        (None, None, None, None),
        ("auto", None, "auto", {"type": "auto"}),
        ("none", False, "none", {"type": "none"}),
        ("required", None, "required", {"type": "any"}),
        (
            NamedTool("weather"),
            False,
            {"type": "function", "function": {"name": "weather"}},
            {"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
        ),
        (None, False, None, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None, None),
    ],
)
async def test_the_choice_of_tools_is_sent_in_both_languages(
    *, choice: ToolChoice | None, parallel: bool | None, openai: object, anthropic: object
) -> None:
    request = replace(REQUEST, tool_choice=choice, parallel_tool_calls=parallel)
    body = await sent(OPENAI, request)
    assert body.get("tool_choice") == openai
    assert body.get("parallel_tool_calls") == parallel
    assert (await sent(ANTHROPIC, request)).get("tool_choice") == anthropic


async def test_images_are_sent_in_both_languages() -> None:
    request = ChatRequest((PHOTO,))
    (message,) = (await sent(OPENAI, request))["messages"]
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBOR=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg", "detail": "low"}},
    ]
    (message,) = (await sent(ANTHROPIC, request))["messages"]
    encoded = {"type": "base64", "media_type": "image/png", "data": "iVBOR=="}
    assert message["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": encoded},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
    ]


async def test_sampling_and_stops_are_sent_in_both_languages() -> None:
    request = replace(REQUEST, top_p=0.9, stop=("END",))
    body = await sent(OPENAI, request)
    assert (body["top_p"], body["stop"]) == (0.9, ["END"])
    body = await sent(ANTHROPIC, request)
    assert (body["top_p"], body["stop_sequences"]) == (0.9, ["END"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("own", "sdk"), [(OPENAI, OPENAI_SDK), (ANTHROPIC, ANTHROPIC_SDK)], ids=lambda each: each.name
)
async def test_an_sdk_sends_tools_and_images_as_the_own_client_does(
    own: Sample, sdk: Sample, *, stream: bool
) -> None:
    request = replace(
        REQUEST,
        messages=(*CONVERSATION[:-1], PHOTO),
        tool_choice=NamedTool("weather"),
        parallel_tool_calls=False,
        top_p=0.9,
        stop=("END",),
    )
    expected = await sent(own, request, stream=stream)
    assert await sent(sdk, request, stream=stream) == {**expected, "model": f"{sdk.name}-model"}


@pytest.mark.parametrize("strict", [True, False])
async def test_a_strict_tool_is_strict_where_the_server_knows_schemas(*, strict: bool) -> None:
    request = ChatRequest((PHOTO,), tools=(replace(WEATHER, strict=strict),))
    (tool,) = (await sent(OPENAI, request))["tools"]
    assert tool["function"].get("strict", False) is strict
    (tool,) = (await sent(ANTHROPIC, request))["tools"]
    assert tool.get("strict", False) is strict


async def test_any_object_is_openais_json_mode_and_a_sentence_for_anthropic() -> None:
    request = replace(REQUEST, answer_schema=ANY_OBJECT)
    body = await sent(OPENAI, request)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["content"] == "Be brief."
    body = await sent(ANTHROPIC, request)
    assert body["system"].startswith("Answer with one JSON object")
    assert "output_config" not in body


async def test_a_schema_that_is_not_strict_is_sent_as_such() -> None:
    schema = AnswerSchema("city", SCHEMA, strict=False)
    body = await sent(OPENAI, replace(REQUEST, answer_schema=schema))
    assert body["response_format"]["json_schema"]["strict"] is False


@pytest.mark.parametrize(
    ("facts", "request_", "why"),
    [
        (Facts(tools=False), REQUEST, "local accepts no tools"),
        (Facts(images="none"), ChatRequest((PHOTO,)), "local accepts no images"),
        (Facts(images="data"), ChatRequest((PHOTO,)), "data URLs only"),
    ],
    ids=["tools", "images", "https images"],
)
def test_a_request_that_a_server_cannot_serve_is_refused_before_it_is_sent(
    facts: Facts, request_: ChatRequest, why: str
) -> None:
    policy = ProviderPolicy("http://x", "m", name="local", facts=facts)
    with pytest.raises(UnsupportedRequestError, match=why):
        policy.applied_to(request_)


@pytest.mark.parametrize("images", ["url", "data", "none"])
def test_a_request_without_images_fits_every_server(images: Images) -> None:
    policy = ProviderPolicy("http://x", "m", facts=Facts(images=images))
    assert policy.applied_to(REQUEST).tools == (WEATHER,)


def test_images_tools_and_calls_are_part_of_the_estimate() -> None:
    bare = ChatRequest((Message("user", "What is this?"),))
    assert prompt_tokens(ChatRequest((PHOTO,))) >= prompt_tokens(bare) + 2 * 1_500
    assert prompt_tokens(replace(bare, tools=(WEATHER,))) > prompt_tokens(bare)
    said = Message("assistant", "", (ToolCall(id="c", name="weather", arguments="x" * 400),))
    assert prompt_tokens(replace(bare, messages=(said,))) >= 100
