"""Compatible servers as they are, through the whole service: settings in, HTTP out, no code."""

import json

import httpx2
import pytest
from pydantic import BaseModel

from app.errors import AuthenticationError
from app.llm.http import HTTPPolicy, open_connections
from app.llm.providers.openai.wire import CompletionRequest
from app.llm.providers.registry import APIS
from app.llm.structured.ask import ask_for
from app.llm.types import ChatRequest, Message
from app.settings import load
from app.testing import CapturedLogs
from app.wiring import open_service
from tests.llm.compatible_servers import (
    AZURE,
    MISTRAL,
    MISTRALS,
    OLLAMA,
    SERVERS,
    Server,
    answered,
    azure,
    mistral,
    ollama,
    serving,
    streamed,
)
from tests.running_service import QUESTION, events_of

each_server = pytest.mark.parametrize("name", SERVERS)
by_client_or_sdk = pytest.mark.parametrize("api", ["openai", "openai-sdk"])
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@streamed_or_not
@by_client_or_sdk
@each_server
async def test_a_compatible_server_answers_under_its_own_name(
    name: str, api: str, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    handler, variables = SERVERS[name]
    server = Server(handler)
    variables = {**variables, f"PROVIDERS__{name.upper()}__API": api}
    async with serving(server, monkeypatch, **variables, MAX_TOKENS="2") as http:
        answer = await http.post("/v1/chat", json={**QUESTION, "stream": stream})
    assert answer.status_code == 200, answer.text
    body = json.loads(events_of(answer.text)[-1][1]) if stream else answer.json()
    assert (body["provider"], body["finish_reason"]) == (name, "stop")
    assert body["content"] == ("word word " if name == "ollama" else "Hello!")
    assert body["usage"]["total_tokens"] == 5
    assert body["cost_usd"] is None
    assert len(server.requests) == 1


@by_client_or_sdk
@pytest.mark.parametrize("name", ["mistral", "ollama"])
async def test_a_compatible_server_turns_texts_into_vectors(
    name: str, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler, variables = SERVERS[name]
    server, prefix = Server(handler), f"PROVIDERS__{name.upper()}__"
    variables = {**variables, f"{prefix}API": api, f"{prefix}EMBEDDING_MODEL": "an-embedder"}
    async with serving(server, monkeypatch, **variables) as http:
        answer = await http.post("/v1/embeddings", json={"texts": ["one", "two"]})
    assert [item["embedding"] for item in answer.json()["items"]] == [[0.5, 1.0], [0.5, 1.0]]
    assert server.bodies[0]["model"] == "an-embedder"


async def test_a_provider_without_a_model_for_vectors_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(ollama)
    async with serving(server, monkeypatch, **OLLAMA) as http:
        answer = await http.post("/v1/embeddings", json={"texts": ["one"]})
    assert "configured are: ollama" in answer.text
    assert server.requests == []


@by_client_or_sdk
async def test_the_query_of_an_address_goes_behind_the_path(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(azure)
    async with serving(server, monkeypatch, **AZURE, PROVIDERS__AZURE__API=api) as http:
        await http.post("/v1/chat", json=QUESTION)
    assert str(server.requests[0].url) == (
        "https://x.openai.azure.com/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    )


@by_client_or_sdk
async def test_a_server_without_keys_gets_no_header(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(ollama)
    async with serving(server, monkeypatch, **OLLAMA, PROVIDERS__OLLAMA__API=api) as http:
        await http.post("/v1/chat", json=QUESTION)
    assert not {"authorization", "api-key", "x-api-key"} & set(server.requests[0].headers)


@pytest.mark.parametrize(
    ("fact", "value", "absent"),
    [
        ("MAX_TOKENS_FIELD", "max_completion_tokens", "max_tokens"),
        ("STREAM_OPTIONS", "true", None),
        ("EMBEDDING_ENCODING", "base64", None),
    ],
)
async def test_each_fact_is_a_setting_that_is_obeyed(
    fact: str, value: str, absent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a fact that is wrong for it the strict server refuses, so each fact has its effect."""
    server = Server(mistral)
    overridden = {f"PROVIDERS__MISTRAL__{fact}": value}
    async with serving(server, monkeypatch, **MISTRAL, **overridden) as http:
        await http.post("/v1/chat", json={**QUESTION, "stream": True})
        await http.post("/v1/embeddings", json={"texts": ["one"]})
    sent = {name for body in server.bodies for name in body}
    names = {"STREAM_OPTIONS": "stream_options", "EMBEDDING_ENCODING": "encoding_format"}
    assert names.get(fact, value) in sent
    assert absent not in sent


class Numbered(BaseModel):
    number: int


@pytest.mark.parametrize("mode", ["json_schema", "json_object", "none"])
async def test_the_form_of_an_answer_is_asked_for_as_the_server_understands_it(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(lambda _request, _body: streamed('{"number": 7}'))
    for name, value in {**MISTRAL, "PROVIDERS__MISTRAL__JSON_MODE": mode}.items():
        monkeypatch.setenv(name, value)
    async with open_service(load(), transport=httpx2.MockTransport(server)) as service:
        answer = await ask_for(Numbered, service.chat, ChatRequest((Message("user", "Which?"),)))
    assert answer.number == 7
    form = server.bodies[0].get("response_format", {"type": "none"})
    assert isinstance(form, dict)
    assert form["type"] == mode
    schema_in_prompt = "follows this JSON schema" in json.dumps(server.bodies[0]["messages"])
    assert schema_in_prompt == (mode != "json_schema")


async def test_errors_metrics_and_health_have_the_providers_own_name(
    monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    server = Server(mistral)
    wrong_key = {**MISTRAL, "PROVIDERS__MISTRAL__API_KEY": "another"}
    async with serving(server, monkeypatch, **wrong_key) as http:
        answer = await http.post("/v1/chat", json=QUESTION)
        ready = (await http.get("/readyz")).json()
        metrics = (await http.get("/metrics")).text
    assert "mistral answered 401" in answer.text
    assert set(ready["providers"]) == {"mistral"}
    assert 'outcome="AuthenticationError",provider="mistral"} 1.0' in metrics
    assert 'model="mistral-small-latest"' in metrics
    assert 'provider="openai"' not in metrics
    assert {line["provider"] for line in logs.lines if "provider" in line} == {"mistral"}


async def test_a_malformed_answer_names_the_provider_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(lambda _request, _body: httpx2.Response(200, text="<html>"))
    async with serving(server, monkeypatch, **MISTRAL) as http:
        answer = await http.post("/v1/chat", json=QUESTION)
    assert answer.status_code == 502
    assert "mistral sent" in answer.json()["detail"]
    assert "openai" not in answer.text


def test_the_strict_server_knows_some_of_our_fields_only() -> None:
    """Otherwise the strict server would refuse none of the fields that we send."""
    ours = set(CompletionRequest.__annotations__)
    assert ours - MISTRALS == {"max_completion_tokens", "stream_options"}


@by_client_or_sdk
async def test_a_refused_field_is_logged_with_the_setting_to_change(
    api: str, monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    server = Server(mistral)
    facts = {"PROVIDERS__MISTRAL__API": api, "PROVIDERS__MISTRAL__STREAM_OPTIONS": "true"}
    async with serving(server, monkeypatch, **MISTRAL, **facts) as http:
        await http.post("/v1/chat", json={**QUESTION, "stream": True})
    (line,) = logs.events("llm.field_refused")
    assert (line["provider"], line["field"]) == ("mistral", "stream_options")
    assert line["setting"] == "PROVIDERS__MISTRAL__STREAM_OPTIONS"


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens; reduce the messages or max_tokens.",
        "Unknown parameter: 'colour'.",
    ],
    ids=["a field that is known", "a field that is not ours"],
)
async def test_a_refusal_for_another_reason_names_no_setting(
    message: str, monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    refusal = httpx2.Response(400, json={"error": {"message": message}})
    server = Server(lambda _request, _body: refusal)
    async with serving(server, monkeypatch, **MISTRAL) as http:
        await http.post("/v1/chat", json=QUESTION)
    assert logs.events("llm.field_refused") == []


async def test_the_prices_are_the_vendors_and_the_name_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(lambda _request, _body: answered(model="gpt-5-mini"))
    second = {"LLM_PROVIDERS": "second", "PROVIDERS__SECOND__PRESET": "openai"}
    async with serving(server, monkeypatch, **second) as http:
        answer = (await http.post("/v1/chat", json=QUESTION)).json()
    assert answer["provider"] == "second"
    assert answer["cost_usd"] > 0


@pytest.mark.parametrize("status", [404, 405])
@by_client_or_sdk
async def test_a_server_without_a_list_of_models_is_well(
    api: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(lambda _request, _body: httpx2.Response(status, json={}))
    variables = {**AZURE, "PROVIDERS__AZURE__API": api}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    policy = load().provider("azure")
    async with open_connections(HTTPPolicy(), httpx2.MockTransport(server)) as connections:
        await APIS[api].client(policy, connections).ping()
    assert server.requests[0].url.path == "/openai/deployments/gpt/models"


@by_client_or_sdk
async def test_a_server_that_does_not_take_the_key_is_not_well(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**AZURE, "PROVIDERS__AZURE__API_KEY": "another"}.items():
        monkeypatch.setenv(name, value)
    policy = load().provider("azure")
    async with open_connections(HTTPPolicy(), httpx2.MockTransport(Server(azure))) as connections:
        with pytest.raises(AuthenticationError):
            await APIS[api].client(policy, connections).ping()


@streamed_or_not
@pytest.mark.parametrize("order", ["anthropic,openai", "openai,anthropic"])
async def test_a_high_temperature_is_answered_in_any_order_of_providers(
    order: str, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    server = Server(ollama)
    async with serving(server, monkeypatch, LLM_PROVIDERS=order, MAX_TOKENS="2") as http:
        body = {**QUESTION, "stream": stream, "temperature": 1.5}
        answer = await http.post("/v1/chat", json=body)
        refused = await http.post("/v1/chat", json={**body, "provider": "anthropic"})
    assert answer.status_code == 200
    assert '"provider":"openai"' in answer.text
    assert refused.status_code == 422
    assert [request.url.path for request in server.requests] == ["/v1/chat/completions"]
