"""Odd dialects of compatible servers, as they come over the wire."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from mock_api.oddities import ODDITIES

CHAT, MESSAGES, EMBEDDINGS = "/v1/chat/completions", "/v1/messages", "/v1/embeddings"
ASKED = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
WEATHER = {"type": "object", "properties": {"city": {"const": "Rome"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
BOTH = pytest.mark.parametrize("path", [CHAT, MESSAGES])


@pytest.fixture
async def speak(api: httpx2.AsyncClient) -> "Speak":
    return Speak(api)


class Speak:
    """The mock API's answers in one dialect."""

    def __init__(self, api: httpx2.AsyncClient) -> None:
        self.api = api

    async def choose(self, name: str) -> None:
        assert (await self.api.put("/_mock/dialect", json={"name": name})).status_code == 200

    async def whole(self, path: str, **more: object) -> Any:
        return (await self.api.post(path, json={**ASKED, **more})).json()

    async def raw(self, path: str, **more: object) -> bytes:
        return (await self.api.post(path, json={**ASKED, "stream": True, **more})).content

    async def events(self, path: str, **more: object) -> list[Any]:
        raw = await self.raw(path, **more)
        lines = [line[6:] for line in raw.splitlines() if line.startswith(b"data: {")]
        return [orjson.loads(line) for line in lines]


def text_of(path: str, events: list[Any]) -> str:
    if path == MESSAGES:
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        return "".join(delta["text"] for delta in deltas)
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events)


async def test_the_dialect_is_listed_chosen_and_cleared(api: httpx2.AsyncClient) -> None:
    names = [*ODDITIES]
    assert (await api.get("/_mock/dialect")).json() == {"name": None, "names": names}
    chosen = await api.put("/_mock/dialect", json={"name": "no_usage"})
    assert chosen.json() == {"name": "no_usage", "names": names}
    assert "usage" not in (await api.post(CHAT, json=ASKED)).json()
    assert (await api.delete("/_mock/dialect")).json() == {"name": None, "names": names}
    assert "usage" in (await api.post(CHAT, json=ASKED)).json()


@pytest.mark.parametrize(
    "given", [b'{"name": "klingon"}', b"{}", b"no", b'{"name": "no_usage", "x": 1}']
)
async def test_another_dialect_is_refused_and_changes_nothing(
    api: httpx2.AsyncClient, given: bytes
) -> None:
    await api.put("/_mock/dialect", json={"name": "no_usage"})
    assert (await api.put("/_mock/dialect", content=given)).status_code == 422
    assert (await api.get("/_mock/dialect")).json()["name"] == "no_usage"


@BOTH
@pytest.mark.parametrize("name", [name for name in ODDITIES if name != "pings_only"])
async def test_a_dialect_answers_the_same_every_time(speak: Speak, path: str, name: str) -> None:
    await speak.choose(name)
    assert await speak.whole(path) == await speak.whole(path)
    assert await speak.raw(path) == await speak.raw(path)


@BOTH
async def test_no_usage(speak: Speak, path: str) -> None:
    await speak.choose("no_usage")
    assert "usage" not in await speak.whole(path)
    options = {"stream_options": {"include_usage": True}} if path == CHAT else {}
    raw = await speak.raw(path, **options)
    assert b"usage" not in raw
    assert b"finish_reason" in raw or b"stop_reason" in raw


async def test_no_usage_of_embeddings(speak: Speak) -> None:
    await speak.choose("no_usage")
    answer = await speak.api.post(EMBEDDINGS, json={"model": "m", "input": "Hi"})
    assert answer.json()["data"]
    assert "usage" not in answer.json()


@BOTH
async def test_null_fields(speak: Speak, path: str) -> None:
    await speak.choose("null_fields")
    whole = await speak.whole(path)
    assert {whole["id"], whole["model"], whole["usage"]} == {None}
    events = await speak.events(path)
    first = events[0].get("message", events[0])
    assert {first["id"], first["model"]} == {None}
    assert text_of(path, events).startswith("This is the mock API")


async def test_content_parts(speak: Speak) -> None:
    await speak.choose("content_parts")
    (part,) = (await speak.whole(CHAT))["choices"][0]["message"]["content"]
    assert part == {"type": "text", "text": 'This is the mock API. You said: "Hi"'}
    contents = [event["choices"][0]["delta"].get("content") for event in await speak.events(CHAT)]
    assert "".join(part["text"] for parts in contents if parts for part in parts) == part["text"]


async def test_two_tool_calls_with_the_same_index(speak: Speak) -> None:
    await speak.choose("tool_index_zero")
    deltas = [event["choices"][0]["delta"] for event in await speak.events(CHAT, tools=[TOOL])]
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert {call["index"] for call in calls} == {0}
    assert len({call["id"] for call in calls if "id" in call}) == 2
    arguments = "".join(call["function"]["arguments"] for call in calls)
    assert arguments == '{"city":"Rome"}' * 2


async def test_tool_arguments_are_an_object(speak: Speak) -> None:
    await speak.choose("tool_arguments_object")
    (call,) = (await speak.whole(CHAT, tools=[TOOL]))["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == {"city": "Rome"}


@BOTH
async def test_thinking_tags(speak: Speak, path: str) -> None:
    await speak.choose("thinking_tags")
    whole = await speak.whole(path)
    text = (
        whole["content"][0]["text"]
        if path == MESSAGES
        else whole["choices"][0]["message"]["content"]
    )
    assert text.startswith("<think>")
    assert text.endswith('</think>This is the mock API. You said: "Hi"')
    assert text_of(path, await speak.events(path)) == text


@BOTH
@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        (
            "error_in_200",
            200,
            {"error": {"message": "Rate limit exceeded, try again later", "code": 429}},
        ),
        ("error_as_text", 429, {"error": "Rate limit exceeded, try again later"}),
        (
            "error_as_list",
            429,
            [{"error": {"message": "Rate limit exceeded, try again later", "code": 429}}],
        ),
    ],
)
async def test_an_error_in_another_envelope(
    *, speak: Speak, path: str, name: str, status: int, body: object
) -> None:
    await speak.choose(name)
    for stream in (False, True):
        answer = await speak.api.post(path, json={**ASKED, "stream": stream})
        assert (answer.status_code, answer.json()) == (status, body)


@BOTH
async def test_no_blank_line_at_the_end(speak: Speak, path: str) -> None:
    usual = await speak.raw(path)
    await speak.choose("no_blank_line_at_end")
    assert await speak.raw(path) == usual.rstrip()


@BOTH
async def test_keepalives_stand_between_the_events(speak: Speak, path: str) -> None:
    usual = await speak.raw(path)
    await speak.choose("keepalive_data")
    raw = await speak.raw(path)
    assert {b"data:", b"data: {}"} <= {*raw.splitlines()}
    added = {b"data:", b"data: {}", b'event: ping\ndata: {"type": "ping"}'}
    assert b"\n\n".join(part for part in raw.split(b"\n\n") if part not in added) == usual


@pytest.mark.parametrize(
    ("path", "asked", "name"),
    [
        (CHAT, {**ASKED, "max_completion_tokens": 9}, "max_completion_tokens"),
        (
            CHAT,
            {**ASKED, "stream": True, "stream_options": {"include_usage": True}},
            "stream_options",
        ),
        (EMBEDDINGS, {"model": "m", "input": "Hi", "encoding_format": "base64"}, "encoding_format"),
    ],
)
async def test_a_later_field_is_refused_by_name(
    speak: Speak, path: str, asked: dict[str, object], name: str
) -> None:
    await speak.choose("strict_fields")
    answer = await speak.api.post(path, json=asked)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", name]
    asked.pop(name)
    assert (await speak.api.post(path, json=asked)).status_code == 200


@BOTH
async def test_pings_and_no_text(
    http: httpx2.AsyncClient, control: httpx2.Client, path: str
) -> None:
    control.put("/dialect", json={"name": "pings_only"})
    try:
        lines = await first_lines(http, path, until=3)
    finally:
        control.delete("/dialect")
    assert not [line for line in lines if "mock API" in line]


async def test_pings_after_some_chunks(http: httpx2.AsyncClient, control: httpx2.Client) -> None:
    control.put("/faults", json={"ping_after_chunks": 2})
    lines = await first_lines(http, CHAT, until=3)
    pieces = [orjson.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert text_of(CHAT, pieces) == "This is"


async def first_lines(http: httpx2.AsyncClient, path: str, until: int) -> list[str]:
    """Until so many pings have come."""
    async with http.stream("POST", path, json={**ASKED, "stream": True}) as answer:
        return [line async for line in ping_counted(answer.aiter_lines(), until)]


async def ping_counted(lines: AsyncIterator[str], until: int) -> AsyncIterator[str]:
    seen = 0
    async for line in lines:
        seen += line in {": ping", "event: ping"}
        yield line
        if seen == until + 1:
            return


@BOTH
async def test_endless_tools_are_called_after_every_result_until_they_are_forbidden(
    speak: Speak, path: str
) -> None:
    anthropic = path == MESSAGES
    tool = {"name": "weather", "input_schema": WEATHER} if anthropic else TOOL
    result = {"role": "tool", "tool_call_id": "1", "content": "Rain"}
    block = {"type": "tool_result", "tool_use_id": "1", "content": "Rain"}
    messages = [*ASKED["messages"], {"role": "user", "content": [block]} if anthropic else result]  # type: ignore[misc]
    await speak.choose("endless_tools")
    again = str(await speak.whole(path, tools=[tool], messages=messages))
    none: object = {"type": "none"} if anthropic else "none"
    text = str(await speak.whole(path, tools=[tool], messages=messages, tool_choice=none))
    assert ("tool_use" in again or "tool_calls" in again, "Rain" in text) == (True, True)
    assert "weather" not in text
