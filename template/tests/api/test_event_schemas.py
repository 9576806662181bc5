"""Streams of the whole service, each event against its schema in the OpenAPI document."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx2
import orjson
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from pydantic import BaseModel

from app.api.events import SCHEMAS, Event, as_json, described
from app.api.openapi import DocumentedAPI
from app.llm.types import ToolCall
from app.main import create_app
from app.settings import Settings
from mock_api.testing import running_server
from tests.running_service import listening

CHAT = "/v1/chat"
OPENAI = "/openai/v1/chat/completions"
PATHS = (CHAT, OPENAI)
BODY = {"messages": [{"role": "user", "content": "clock and weather"}], "stream": True}
FUNCTIONS = [{"type": "function", "function": {"name": name}} for name in ("clock", "weather")]


def body_for(path: str, **changes: Any) -> dict[str, Any]:
    return {**BODY, **({"model": "auto"} if path == OPENAI else {}), **changes}


@asynccontextmanager
async def running_with_drops() -> AsyncIterator[httpx2.AsyncClient]:
    """The service in front of a provider that hangs up after the first chunks."""
    with running_server() as url:
        async with httpx2.AsyncClient(base_url=url) as control:
            await control.put("/_mock/faults", json={"drop_after_chunks": 2})
        settings = Settings(llm_providers=("openai",), openai={"base_url": f"{url}/v1"})  # type: ignore[arg-type]
        async with listening(create_app(settings)) as http:
            yield http


def events(text: str) -> Iterator[dict[str, str]]:
    """The events as the standard says that a client reads them, without comments."""
    for block in text.split("\n\n"):
        fields = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        if fields:
            yield {name: value for name, _, value in fields}


class Schema:
    """The schema of the events of one endpoint. Raises `ValidationError` for an event that it does not allow."""

    def __init__(self, document: dict[str, Any], path: str) -> None:
        operation = document["paths"][path]["post"]
        content = operation["responses"]["200"]["content"]["text/event-stream"]
        self._alternatives = content["itemSchema"]["anyOf"]
        self._components = {"components": document["components"]}

    def check(self, event: dict[str, str]) -> None:
        failures = [self._failure(event, schema) for schema in self._alternatives]
        if None not in failures:
            raise ValidationError(f"{event}: {failures}")

    def _failure(self, event: dict[str, str], schema: dict[str, Any]) -> str | None:
        try:
            Draft202012Validator(schema).validate(event)
            data = schema["properties"]["data"]
            if "contentSchema" in data:
                inner = {**data["contentSchema"], **self._components}
                Draft202012Validator(inner).validate(json.loads(event["data"]))
        except (ValidationError, ValueError) as error:
            return str(error).splitlines()[0]
        return None


@cache
def schema_of(path: str) -> Schema:
    return Schema(create_app(Settings()).openapi(), path)


async def checked_stream(http: httpx2.AsyncClient, path: str, **body: Any) -> list[dict[str, str]]:
    schema = schema_of(path)
    answer = await http.post(path, json=body_for(path, **body))
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = list(events(answer.text))
    for event in found:
        schema.check(event)
    return found


async def test_every_event_of_a_chat_stream_follows_its_schema(api: httpx2.AsyncClient) -> None:
    found = await checked_stream(api, CHAT)
    assert {event["event"] for event in found} == {"delta", "done"}


async def test_every_event_of_a_stream_with_tools_follows_its_schema(
    api: httpx2.AsyncClient,
) -> None:
    found = await checked_stream(api, CHAT, tools=FUNCTIONS)
    assert [event["event"] for event in found][-3:] == ["tool_call", "tool_call", "done"]


@pytest.mark.parametrize("tools", [[], FUNCTIONS], ids=["text", "tools"])
async def test_every_chunk_of_openais_interface_follows_its_schema(
    api: httpx2.AsyncClient, tools: list[dict[str, Any]]
) -> None:
    usage = {"include_usage": True}
    found = await checked_stream(api, OPENAI, tools=tools, stream_options=usage)
    assert found[-1] == {"data": "[DONE]"}
    assert len(found) > 3


@pytest.mark.parametrize("path", PATHS)
async def test_an_error_after_the_first_event_follows_its_schema(path: str) -> None:
    async with running_with_drops() as http:
        found = await checked_stream(http, path)
    if path == CHAT:
        assert [event["event"] for event in found][-1] == "error"
        assert json.loads(found[-1]["data"])["text"]
    else:
        assert "error" in json.loads(found[-1]["data"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "event",
    [
        {"event": "delta", "data": '{"text": 1}'},
        {"event": "delta", "data": "no JSON"},
        {"event": "done", "data": '{"id": "1"}'},
        {"event": "unknown", "data": '{"text": "x"}'},
        {"data": "[done]"},
        {"data": '{"error": "text"}'},
    ],
    ids=["type", "not JSON", "incomplete", "name", "end", "error"],
)
def test_an_event_of_another_form_does_not_follow_the_schema(
    path: str, event: dict[str, str]
) -> None:
    with pytest.raises(ValidationError):
        schema_of(path).check(event)


def test_the_document_has_every_schema_that_it_refers_to() -> None:
    app = create_app(Settings())
    document = app.openapi()
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= document["components"]["schemas"].keys()
    assert SCHEMAS not in text
    assert json.dumps(app.openapi()) == text


class Step(BaseModel):
    """An event of a project's own."""

    number: int


class Other:
    class ToolCall(BaseModel):
        step: int


def document_of(event: Event[Any]) -> dict[str, Any]:
    app = DocumentedAPI()
    response = {"description": "Steps", "content": {"text/event-stream": described(event)}}

    @app.get("/own", responses={200: response})
    async def own() -> ToolCall:
        return ToolCall(id="1", name="x", arguments="{}")

    return app.openapi()


def test_an_endpoint_of_a_project_documents_its_events_in_the_same_way() -> None:
    step = Event("step", Step, as_json)
    document = document_of(step)
    assert document["components"]["schemas"]["Step"]["required"] == ["number"]
    content = document["paths"]["/own"]["get"]["responses"]["200"]["content"]
    (event,) = content["text/event-stream"]["itemSchema"]["anyOf"]
    assert event["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/Step"}
    assert step.frame(Step(number=1)) == b'event: step\ndata: {"number":1}\n\n'


def test_two_types_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two schemas have the name ToolCall"):
        document_of(Event("call", Other.ToolCall, as_json))


def test_line_ends_inside_the_data_are_escaped() -> None:
    event = Event(None, str, orjson.dumps)
    assert event.frame("a\nb\u2028c\u2029d\x85") == b'data: "a\\nb\\u2028c\\u2029d\\u0085"\n\n'
