"""The requests that leave the process: headers, keys, ids; none reaches the network in a test."""

import json

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from app.errors import RequestRefusedError
from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import ChatRequest, Message
from app.telemetry.correlation import request_id, traceparent
from tests.llm.samples import ANTHROPIC, OPENAI, REQUEST, SAMPLES, Sample


async def sent(
    sample: Sample, request: ChatRequest = REQUEST, *, stream: bool = False, **policy: object
) -> httpx.Request:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if stream:
            return httpx.Response(
                200, content=sample.stream, headers={"Content-Type": "text/event-stream"}
            )
        return httpx.Response(200, content=sample.body)

    async with open_connections(HTTPPolicy(), httpx.MockTransport(answer)) as connections:
        settings = {"base_url": "http://provider.test/v1", "model": "default-model", **policy}
        model = sample.make(sample.policy(**settings), connections)  # type: ignore[arg-type]  # by name
        if stream:
            async for _ in model.stream(request):
                pass
        else:
            await model.complete(request)
    return seen[0]


async def test_a_request_to_openai_has_its_wire_format() -> None:
    request = await sent(OPENAI, stream=True, api_key=SecretStr("sk-1"))
    assert request.url == "http://provider.test/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert json.loads(request.content) == {
        "model": "default-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where is the Zugspitze?"},
        ],
        "max_completion_tokens": 1024,
        "temperature": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_request_to_anthropic_has_its_wire_format() -> None:
    messages = (*REQUEST.messages, Message("system", "Be polite."), Message("assistant", "It"))
    request = await sent(
        ANTHROPIC,
        ChatRequest(messages, model="another-model", max_tokens=7),
        api_key=SecretStr("sk-2"),
        base_url="http://provider.test/",
    )
    assert request.url == "http://provider.test/v1/messages"
    assert request.headers["x-api-key"] == "sk-2"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert json.loads(request.content) == {
        "model": "another-model",
        "max_tokens": 7,
        "system": "Be brief.\n\nBe polite.",
        "messages": [
            {"role": "user", "content": "Where is the Zugspitze?"},
            {"role": "assistant", "content": "It"},
        ],
    }


async def test_anthropic_is_not_asked_for_a_temperature_that_it_does_not_have() -> None:
    request = ChatRequest(REQUEST.messages, temperature=1.5)
    with pytest.raises(RequestRefusedError, match=r"from 0 to 1, not 1\.5"):
        await sent(ANTHROPIC, request)


async def test_without_a_key_a_placeholder_is_sent() -> None:
    assert (await sent(OPENAI)).headers["authorization"] == "Bearer mock"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_the_request_id_goes_along(sample: Sample) -> None:
    assert "x-request-id" not in (await sent(sample)).headers
    token = request_id.set("abc-123")
    try:
        assert (await sent(sample)).headers["x-request-id"] == "abc-123"
    finally:
        request_id.reset(token)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_the_traceparent_goes_along(sample: Sample) -> None:
    assert "traceparent" not in (await sent(sample)).headers
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    token = traceparent.set(parent)
    try:
        assert (await sent(sample)).headers["traceparent"] == parent
    finally:
        traceparent.reset(token)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_half_a_character_is_refused_before_it_is_sent(sample: Sample) -> None:
    with pytest.raises(RequestRefusedError, match="not valid Unicode"):
        await sent(sample, ChatRequest((Message("user", "\ud83d"),)))


async def test_a_call_without_a_fake_cannot_reach_the_network() -> None:
    async with open_connections(HTTPPolicy()) as connections:
        model = OPENAI.model(connections, "http://192.0.2.1/v1")  # an address for documentation
        with pytest.raises(UserWarning, match=r"192\.0\.2\.1"):
            await model.complete(REQUEST)
