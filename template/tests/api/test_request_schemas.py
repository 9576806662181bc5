"""The schema of a body allows what its validation allows."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from app.api.openai.wire import ChatCompletionIn, EmbeddingsIn
from app.features.chat.router import ChatBody

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "1", "name": "clock", "arguments": "{}"}
OPENAI_CALL = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
IMAGE_URL = "data:image/png;base64,iVBORw0KGgo="
IMAGE = {"type": "image_url", "image_url": {"url": IMAGE_URL}}


def chat(**fields: Any) -> tuple[type[BaseModel], dict[str, Any]]:
    return ChatBody, {"messages": [USER], **fields}


def image(url: str) -> tuple[type[BaseModel], dict[str, Any]]:
    return chat(messages=[{"role": "user", "content": [{"type": "image", "url": url}]}])


def called(call_id: str) -> tuple[type[BaseModel], dict[str, Any]]:
    calls = {"role": "assistant", "tool_calls": [{**CALL, "id": call_id}]}
    return chat(messages=[calls, {"role": "tool", "tool_call_id": call_id, "content": "12:00"}])


def completion(**fields: Any) -> tuple[type[BaseModel], dict[str, Any]]:
    return ChatCompletionIn, {"model": "auto", "messages": [USER], **fields}


def message(role: str, **fields: Any) -> tuple[type[BaseModel], dict[str, Any]]:
    return completion(messages=[{"role": role, **fields}])


def vectors(texts: Any) -> tuple[type[BaseModel], dict[str, Any]]:
    return EmbeddingsIn, {"model": "auto", "input": texts}


def function(parameters: dict[str, Any]) -> tuple[type[BaseModel], dict[str, Any]]:
    return chat(tools=[{"name": "clock", "parameters": parameters}])


ALLOWED = {
    "one token": chat(max_tokens=1),
    "a whole number with a point": chat(max_tokens=8.0),
    "an image": image(IMAGE_URL),
    "an image by URL": image("https://a.example/b.png?c"),
    "a call": called("call_1"),
    "an object's schema": function({"type": "object"}),
    "a schema without a type": function({}),
    "OpenAI: tokens": completion(max_completion_tokens=8),
    "OpenAI: one stop": completion(stop="END"),
    "OpenAI: stops": completion(stop=["END", "STOP"]),
    "OpenAI: no stop": completion(stop=None),
    "OpenAI: a call": message("assistant", tool_calls=[OPENAI_CALL]),
    "OpenAI: a refusal": message("assistant", refusal="No."),
    "OpenAI: a result": message("tool", content="12:00", tool_call_id="1"),
    "OpenAI: an image": message("user", content=[IMAGE]),
    "OpenAI: parts": message("system", content=[{"type": "text", "text": "Be brief."}]),
    "OpenAI: JSON": completion(response_format={"type": "json_object"}),
    "OpenAI: a text": vectors("x"),
    "OpenAI: texts": vectors(["x", "y"]),
}
REFUSED = {
    "no token": chat(max_tokens=0),
    "half a token": chat(max_tokens=8.5),
    "too many tokens": chat(max_tokens=1_000_001),
    "blank text": chat(messages=[{"role": "user", "content": "\x85"}]),
    "an image by HTTP": image("http://a.example/b.png"),
    "an image with a control character": image("https://a.example/\x1c"),
    "a film": image("data:video/mp4;base64,AAAA"),
    "an id with a space": called("a b"),
    "an id with a next line": called("a\x85b"),
    "a text's schema": function({"type": "string"}),
    "OpenAI: no token": completion(max_completion_tokens=0),
    "OpenAI: an empty stop": completion(stop=""),
    "OpenAI: five stops": completion(stop=list("abcde")),
    "OpenAI: no content": message("user"),
    "OpenAI: null": message("system", content=None),
    "OpenAI: nothing said": message("assistant"),
    "OpenAI: no calls": message("assistant", tool_calls=[]),
    "OpenAI: a result without an id": message("tool", content="12:00"),
    "OpenAI: an image of the system": message("system", content=[IMAGE]),
    "OpenAI: an image of the assistant": message("assistant", content=[IMAGE]),
    "OpenAI: no schema": completion(response_format={"type": "json_schema"}),
    "OpenAI: an empty text": vectors(""),
    "OpenAI: no texts": vectors([]),
    "OpenAI: tokens as input": vectors([1, 2]),
}


def is_allowed_by_the_schema(model: type[BaseModel], body: dict[str, Any]) -> bool:
    return Draft202012Validator(model.model_json_schema()).is_valid(body)


@pytest.mark.parametrize(("model", "body"), ALLOWED.values(), ids=ALLOWED)
def test_a_body_that_is_accepted_follows_the_schema(
    model: type[BaseModel], body: dict[str, Any]
) -> None:
    model.model_validate(body)
    assert is_allowed_by_the_schema(model, body)


@pytest.mark.parametrize(("model", "body"), REFUSED.values(), ids=REFUSED)
def test_a_body_that_is_refused_does_not_follow_the_schema(
    model: type[BaseModel], body: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(body)
    assert not is_allowed_by_the_schema(model, body)
