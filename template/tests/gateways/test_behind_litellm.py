"""The service with a real LiteLLM proxy as its provider: the preset `litellm`."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.main import create_app
from app.settings import Settings
from tests.gateways.conftest import EMBEDDING_MODEL, KEY, MODEL, Gateway
from tests.running_service import QUESTION, events_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOOL = {
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@asynccontextmanager
async def behind(gateway: Gateway, **fields: object) -> AsyncIterator[httpx2.AsyncClient]:
    litellm = {
        "base_url": f"{gateway.litellm}/v1",
        "api_key": KEY,
        "model": MODEL,
        "embedding_model": EMBEDDING_MODEL,
        **fields,
    }
    settings = Settings(
        llm_providers="gateway",  # type: ignore[arg-type]  # as in the environment
        providers={"gateway": {"preset": "litellm", **litellm}},  # type: ignore[dict-item]
        enable_caching=False,
        health_probe_interval_s=0,
    )
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://service", timeout=120
        ) as client,
    ):
        yield client


async def ask(client: httpx2.AsyncClient, **more: Any) -> httpx2.Response:
    return await client.post("/v1/chat", json={**QUESTION, **more})


async def test_a_chat_answer_has_usage_and_the_id_of_the_provider(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        answer = (await ask(client)).json()
    assert answer["content"] == 'This is the mock API. You said: "Hi"'
    assert (answer["provider"], answer["usage"]["total_tokens"]) == ("gateway", 13)
    assert answer["provider_request_id"].startswith("req_")


async def test_a_stream_arrives_in_pieces_with_its_usage(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        events = events_of((await ask(client, stream=True)).text)
    *pieces, (last, done) = events
    assert len(pieces) > 1
    assert "".join(json.loads(data)["text"] for _, data in pieces) == json.loads(done)["content"]
    assert (last, json.loads(done)["usage"]["total_tokens"]) == ("done", 13)


async def test_tools_are_called(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        answer = await ask(client, tools=[TOOL], tool_choice="required")
    assert answer.json()["tool_calls"][0]["name"] == "get_weather"


async def test_embeddings_are_those_of_the_provider(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        answer = (await client.post("/v1/embeddings", json={"texts": ["one", "two"]})).json()
    direct = gateway.mock.post(
        "/v1/embeddings",
        json={"model": EMBEDDING_MODEL, "input": ["one", "two"]},
        headers={"Authorization": "Bearer sk-mock"},
    ).json()
    for item, expected in zip(answer["items"], direct["data"], strict=True):
        assert item["embedding"] == pytest.approx(expected["embedding"], abs=1e-6)


async def test_the_models_of_the_gateway_answer_a_probe(gateway: Gateway) -> None:
    listed = httpx2.get(
        f"{gateway.litellm}/v1/models", headers={"Authorization": f"Bearer {KEY}"}, trust_env=False
    )
    assert MODEL in {model["id"] for model in listed.json()["data"]}


async def test_with_the_preset_openai_the_cost_is_the_one_that_litellm_counts(
    gateway: Gateway,
) -> None:
    async with behind(gateway, preset="openai", retries=False) as client:
        ours = (await ask(client)).json()["cost_usd"]
    theirs = httpx2.post(
        f"{gateway.litellm}/v1/chat/completions",
        json={"model": MODEL, **QUESTION},
        headers={"Authorization": f"Bearer {KEY}"},
        trust_env=False,
        timeout=120,
    )
    assert ours == pytest.approx(float(theirs.headers["x-litellm-response-cost"]))


async def test_the_request_id_reaches_the_provider(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        answer = await client.post("/v1/chat", json=QUESTION, headers={"X-Request-ID": "order-7"})
    assert answer.headers["x-request-id"] == "order-7"
    assert gateway.requests()[0]["headers"]["x-request-id"] == "order-7"


async def test_the_deadline_of_the_caller_reaches_the_provider(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        await client.post("/v1/chat", json=QUESTION, headers={"X-Request-Timeout": "90"})
    (request,) = gateway.requests()
    assert 0 < float(request["headers"]["x-stainless-read-timeout"]) <= 90


async def test_a_deadline_ends_the_call_of_the_gateway_too(gateway: Gateway) -> None:
    gateway.fault(latency_ms=60_000)
    async with behind(gateway) as client:
        answer = await client.post("/v1/chat", json=QUESTION, headers={"X-Request-Timeout": "3"})
    assert answer.status_code == 504


async def test_litellm_alone_repeats_a_failed_call(gateway: Gateway) -> None:
    """Its `num_retries` is 2: three attempts. With the service's own three they would be nine."""
    gateway.fault(status=500)
    async with behind(gateway) as client:
        answer = await ask(client)
    assert (answer.status_code, len(gateway.requests())) == (502, 3)


async def test_the_pause_that_a_provider_asks_for_reaches_the_client(gateway: Gateway) -> None:
    gateway.fault(status=429, retry_after=7)
    async with behind(gateway) as client:
        answer = await ask(client)
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "7")


async def test_a_key_that_the_provider_refuses_is_our_failure(gateway: Gateway) -> None:
    gateway.fault(status=401)
    async with behind(gateway) as client:
        answer = await ask(client)
    assert (answer.status_code, answer.json()["type"]) == (502, "urn:problem:provider-failed")


async def test_a_key_that_litellm_refuses_is_our_failure(gateway: Gateway) -> None:
    async with behind(gateway, api_key="sk-wrong") as client:
        answer = await ask(client)
    assert (answer.status_code, answer.json()["type"]) == (502, "urn:problem:provider-failed")


async def test_a_prompt_that_is_too_long_is_the_callers_mistake(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        answer = await ask(client, model="short")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:problem:context-too-long")


async def test_a_model_that_litellm_does_not_have_is_named(gateway: Gateway) -> None:
    async with behind(gateway) as client:
        answer = await ask(client, model="no-such-model")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:problem:model-not-found")
