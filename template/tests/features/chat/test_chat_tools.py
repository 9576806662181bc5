"""Tools, images and `cache` at `/v1/chat`, with the mock API behind it."""

import json
from typing import Any

import httpx2
import pytest

from app.llm.types import ImagePart, Message, NamedTool, TextPart, Tool
from app.testing import FakeChatModel
from tests.running_service import RunningService, events_of

HI = {"role": "user", "content": "Hi"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather now", "parameters": PARAMETERS}
CLOCK = {"name": "clock", "parameters": {}}
ASKED = {"role": "user", "content": "The weather, and the clock?"}
PNG = "data:image/png;base64,iVBORw0KGgo="
both = pytest.mark.parametrize("provider", ["openai", "anthropic"])


async def chat(api: httpx2.AsyncClient, **body: Any) -> Any:
    answer = await api.post("/v1/chat", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@both
async def test_parallel_tool_calls_and_their_results_make_a_round_trip(
    api: httpx2.AsyncClient, provider: str
) -> None:
    tools = [WEATHER, CLOCK]
    first = await chat(api, messages=[ASKED], tools=tools, provider=provider)
    assert first["finish_reason"] == "tool_calls"
    assert first["content"] == ""
    names = [call["name"] for call in first["tool_calls"]]
    assert names == ["weather", "clock"]
    assert json.loads(first["tool_calls"][0]["arguments"]) == {"city": "mock city"}

    said = {"role": "assistant", "content": None, "tool_calls": first["tool_calls"]}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"{call['name']}!"}
        for call in first["tool_calls"]
    ]
    second = await chat(api, messages=[ASKED, said, *results], tools=tools, provider=provider)
    assert second["finish_reason"] == "stop"
    assert "clock!" in second["content"]


@both
async def test_a_stream_has_an_event_for_each_tool_call(
    api: httpx2.AsyncClient, provider: str
) -> None:
    body = {"messages": [ASKED], "tools": [WEATHER, CLOCK], "provider": provider, "stream": True}
    events = events_of((await api.post("/v1/chat", json=body)).text)
    assert [name for name, _ in events] == ["tool_call", "tool_call", "done"]
    calls = [json.loads(data) for _, data in events[:2]]
    assert calls == json.loads(events[2][1])["tool_calls"]
    assert set(calls[0]) == {"id", "name", "arguments"}


async def test_openais_nested_forms_are_the_same_request(
    service: RunningService, model: FakeChatModel
) -> None:
    flat = {
        "messages": [
            {"role": "user", "content": [{"type": "image", "url": PNG}]},
            {"role": "assistant", "tool_calls": [{"id": "1", "name": "clock", "arguments": "{}"}]},
            {"role": "tool", "tool_call_id": "1", "content": ""},
        ],
        "tools": [CLOCK],
        "tool_choice": {"name": "clock"},
    }
    call = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    nested = {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "x"}]},
        ],
        "tools": [{"type": "function", "function": CLOCK}],
        "tool_choice": {"type": "function", "function": {"name": "clock"}},
    }
    nested["messages"][2]["content"] = ""  # type: ignore[index]
    for body in (flat, nested):
        assert (await service.ask(**body)).status_code == 200
    assert model.requests[0] == model.requests[1]
    assert model.requests[0].tool_choice == NamedTool("clock")
    assert model.requests[0].tools == (Tool("clock"),)


async def test_parts_reach_the_model_and_text_parts_are_one_text(
    service: RunningService, model: FakeChatModel
) -> None:
    text = [{"type": "text", "text": " a\r\nb "}, {"type": "text", "text": "c"}]
    image = {"type": "image", "url": "https://example.com/a.png", "detail": "low"}
    messages = [{"role": "system", "content": text}, {"role": "user", "content": [*text, image]}]
    assert (await service.ask(messages=messages)).status_code == 200
    photo = ImagePart("https://example.com/a.png", "low")
    assert model.requests[0].messages == (
        Message("system", "a\nb\nc"),
        Message("user", (TextPart("a\nb"), TextPart("c"), photo)),
    )


@both
async def test_an_image_is_answered(api: httpx2.AsyncClient, provider: str) -> None:
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "url": PNG}]
    messages = [{"role": "user", "content": content}]
    answer = await chat(api, messages=messages, provider=provider)
    assert "What is this?" in answer["content"]


CHANGES: dict[str, dict[str, Any]] = {
    "tools": {"tools": [WEATHER, CLOCK]},
    "the choice": {"tool_choice": "none"},
    "parallel calls": {"parallel_tool_calls": False},
    "an image": {"messages": [{"role": "user", "content": [{"type": "image", "url": PNG}]}]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_request_with_other_tools_or_parts_is_not_answered_from_the_cache(
    api: httpx2.AsyncClient, change: dict[str, Any]
) -> None:
    asked = {"messages": [ASKED], "tools": [WEATHER], **change}
    await chat(api, messages=[ASKED], tools=[WEATHER])
    assert (await chat(api, **asked))["cached"] is False
    assert (await chat(api, **asked))["cached"] is True


async def test_without_the_cache_the_model_is_called_again(api: httpx2.AsyncClient) -> None:
    for _ in range(2):
        answer = await chat(api, messages=[ASKED], tools=[WEATHER], cache=False)
        assert answer["cached"] is False


DEEP: Any = "x"
for _ in range(60):
    DEEP = [DEEP]
CALL = {"id": "1", "name": "clock", "arguments": "{}"}
SAID = {"role": "assistant", "tool_calls": [CALL]}


def part(**fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [fields]}]}


REFUSED: dict[str, tuple[dict[str, Any], list[str | int], str]] = {
    "a result without a call": (
        {"messages": [HI, {"role": "tool", "tool_call_id": "1", "content": "x"}]},
        ["messages", 1, "tool_call_id"],
        "the id of a tool call",
    ),
    "a call without a result": ({"messages": [HI, SAID, HI]}, ["messages", 2, "role"], "'1'"),
    "calls of the user": (
        {"messages": [{**HI, "tool_calls": [CALL]}]},
        ["messages", 0, "tool_calls"],
        "not permitted",
    ),
    "an assistant without text or calls": (
        {"messages": [{"role": "assistant"}, HI]},
        ["messages", 0, "content"],
        "required",
    ),
    "a tool with a space": ({"tools": [{"name": "a b"}]}, ["tools", 0, "name"], "pattern"),
    "parameters of a list": (
        {"tools": [{"name": "a", "parameters": {"type": "array"}}]},
        ["tools", 0, "parameters"],
        "schema of an object",
    ),
    "deep parameters": (
        {"tools": [{"name": "a", "parameters": {"x": DEEP}}]},
        ["tools", 0, "parameters"],
        "50 levels",
    ),
    "129 tools": ({"tools": [{"name": f"a{n}"} for n in range(129)]}, ["tools"], "at most 128"),
    "an unknown choice": ({"tool_choice": "always"}, ["tool_choice"], "'none' or 'required'"),
    "a choice that is no tool": ({"tool_choice": {"name": "x"}}, ["tool_choice"], "one of the"),
    "http": (part(type="image", url="http://a/b"), ["messages", 0, "content", 0, "url"], "https"),
    "a file": (
        part(type="image", url="file:///etc/passwd"),
        ["messages", 0, "content", 0, "url"],
        "https",
    ),
    "a PDF": (
        part(type="image", url="data:application/pdf;base64,AAAA"),
        ["messages", 0, "content", 0, "url"],
        "PNG, JPEG",
    ),
    "a huge image": (
        part(type="image", url="data:image/png;base64," + "A" * 2_000_001),
        ["messages", 0, "content", 0, "url"],
        "1500000 bytes",
    ),
    "an unknown part": (
        part(type="audio", url="x"),
        ["messages", 0, "content", 0, "type"],
        "'text'",
    ),
    "a blank part": (
        part(type="text", text=" "),
        ["messages", 0, "content", 0, "text"],
        "at least 1",
    ),
    "an image of the system": (
        {"messages": [{"role": "system", "content": [{"type": "image", "url": PNG}]}, HI]},
        ["messages", 0, "content", 0, "type"],
        "'text'",
    ),
}


@pytest.mark.parametrize(("change", "where", "why"), REFUSED.values(), ids=REFUSED)
async def test_a_bad_tool_message_or_part_is_refused_in_its_place(
    service: RunningService,
    model: FakeChatModel,
    change: dict[str, Any],
    where: list[str | int],
    why: str,
) -> None:
    answer = await service.ask(**change)
    assert answer.status_code == 422, answer.text
    error = answer.json()["errors"][0]
    assert error["loc"] == ["body", *where]
    assert why in error["msg"]
    assert model.requests == []
