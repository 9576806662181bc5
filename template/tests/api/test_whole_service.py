"""The whole service with its real wiring, and a provider that is a function."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from pydantic import SecretStr

from app.llm.providers.openai.policy import OpenAIPolicy
from app.main import create_app
from app.settings import Settings
from app.testing import CapturedLogs
from tests.running_service import QUESTION

KEY = "sk-canary-0123456789abcdef"


class Provider:
    """OpenAI's answers, and the requests that they answer."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.status = 200

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.status != 200:
            echo = {"error": {"message": f"wrong key: {request.headers['authorization']}"}}
            return httpx2.Response(self.status, json=echo)
        return httpx2.Response(200, json=_completion())


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def client(provider: Provider) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(llm_providers=("openai",), openai=_policy(), enable_caching=False)
    app = create_app(settings, transport=httpx2.MockTransport(provider))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http


async def test_a_question_goes_to_the_provider_and_back(
    client: httpx2.AsyncClient, provider: Provider
) -> None:
    answer = await client.post("/v1/chat", json=QUESTION)
    assert answer.status_code == 200
    assert (answer.json()["provider"], answer.json()["content"]) == ("openai", "Hello!")
    assert answer.json()["latency_ms"] > 0
    assert provider.requests[0].url.path == "/v1/chat/completions"


async def test_the_request_id_is_in_the_call_to_the_provider(
    client: httpx2.AsyncClient, provider: Provider, logs: CapturedLogs
) -> None:
    ids = [f"request-{number}" for number in range(10)]
    await asyncio.gather(*(_ask(client, name) for name in ids))
    assert sorted(r.headers["x-request-id"] for r in provider.requests) == ids
    for name in ids:
        events = [line["event"] for line in logs.lines if line.get("request_id") == name]
        assert events[-2:] == ["llm.call", "http.request"]


async def test_the_traceparent_is_in_the_call_to_the_provider(
    client: httpx2.AsyncClient, provider: Provider, logs: CapturedLogs
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answer = await client.post("/v1/chat", json=QUESTION, headers=headers)
    assert answer.headers["x-request-id"] == trace
    assert provider.requests[0].headers["traceparent"] == headers["traceparent"]
    assert {line["trace_id"] for line in logs.events("llm.call")} == {trace}


async def test_without_a_traceparent_none_is_sent(
    client: httpx2.AsyncClient, provider: Provider, logs: CapturedLogs
) -> None:
    await client.post("/v1/chat", json=QUESTION, headers={"traceparent": "garbage"})
    assert "traceparent" not in provider.requests[0].headers
    assert "trace_id" not in logs.events("llm.call")[0]


@pytest.mark.parametrize("status", [200, 400, 401, 404])
async def test_the_key_is_sent_to_its_provider_only(
    client: httpx2.AsyncClient, provider: Provider, logs: CapturedLogs, status: int
) -> None:
    provider.status = status
    answer = await client.post("/v1/chat", json=QUESTION)
    metrics = (await client.get("/metrics")).text
    assert KEY in provider.requests[0].headers["authorization"]
    for shown in (answer.text, str(answer.headers), metrics, logs.text):
        assert "canary" not in shown


async def test_calls_are_counted_by_provider_and_outcome(
    client: httpx2.AsyncClient, provider: Provider
) -> None:
    await client.post("/v1/chat", json=QUESTION)
    provider.status = 401
    await client.post("/v1/chat", json=QUESTION)
    text = (await client.get("/metrics")).text
    assert (
        'llm_requests_total{model="m",operation="chat",outcome="ok",provider="openai"} 1.0' in text
    )
    assert 'model="m",operation="chat",outcome="AuthenticationError",provider="openai"} 1.0' in text


async def _ask(client: httpx2.AsyncClient, name: str) -> None:
    await client.post("/v1/chat", json=QUESTION, headers={"X-Request-ID": name})


def _policy() -> OpenAIPolicy:
    return OpenAIPolicy(base_url="http://provider/v1", model="m", api_key=SecretStr(KEY))


def _completion() -> dict[str, object]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello!"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
    }
