"""The tree of spans of a request, from the HTTP layer to the provider, with tracing on."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from app.testing import CapturedLogs
from mock_api.application import create_app as create_mock
from tests.llm.samples import OPENAI
from tests.running_service import QUESTION, STREAMED
from tests.telemetry.spans import Spans, facts, span_id, traced_service, traceparent_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
KEY = "sk-proj-canary-0123456789abcdef"


class Provider:
    """OpenAI: each request takes the next status, and 200 when there is none."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.statuses: list[int] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 200
        if status != 200:
            return httpx2.Response(status, json={"error": {"message": f"said {KEY}"}})
        if b'"stream":true' in request.content:
            stream = {"Content-Type": "text/event-stream"}
            return httpx2.Response(200, content=OPENAI.stream, headers=stream)
        return httpx2.Response(200, content=OPENAI.body)


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def client(spans: Spans, provider: Provider) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.MockTransport(provider)
    async with traced_service(spans, transport, llm_providers=("openai",)) as http:
        yield http


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "streamed"])
async def test_a_request_has_a_call_with_an_attempt(
    body: dict[str, object], client: httpx2.AsyncClient, spans: Spans
) -> None:
    assert (await client.post("/v1/chat", json=body)).status_code == 200
    attempt, call, request = spans.all
    assert [request.name, call.name, attempt.name] == [
        "POST /v1/chat",
        "chat gpt-5-mini",
        "attempt openai",
    ]
    assert (request.parent, request.kind, call.kind) == (None, SpanKind.SERVER, SpanKind.CLIENT)
    assert spans.below(request) == [call]
    assert spans.below(call) == [attempt]


async def test_a_call_is_described_in_the_words_of_the_genai_conventions(
    client: httpx2.AsyncClient, spans: Spans
) -> None:
    await client.post("/v1/chat", json={**STREAMED, "temperature": 0.5})
    told = facts(spans.one("chat gpt-5-mini"))
    assert told.pop("gen_ai.response.time_to_first_chunk") > 0
    assert told.pop("gen_ai.response.id")
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.request.stream": True,
        "gen_ai.response.model": OPENAI.response.model,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": OPENAI.response.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": OPENAI.response.usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": OPENAI.response.usage.cached_prompt_tokens,
        "app.llm.cached": False,
    }


async def test_a_call_covers_its_attempts_and_each_has_its_error_type(
    client: httpx2.AsyncClient, spans: Spans, provider: Provider
) -> None:
    provider.statuses = [503, 429]
    await client.post("/v1/chat", json=QUESTION)
    call = spans.one("chat gpt-5-mini")
    attempts = [(facts(span), span.status.status_code) for span in spans.below(call)]
    assert [(told.get("error.type"), told.get("http.response.status_code"), status) for told, status in attempts] == [
        ("ProviderUnavailableError", 503, StatusCode.ERROR),
        ("RateLimitError", 429, StatusCode.ERROR),
        (None, None, StatusCode.UNSET),
    ]  # fmt: skip
    assert "error.type" not in facts(call)


async def test_a_final_failure_is_in_the_spans_of_attempt_call_and_request(
    client: httpx2.AsyncClient, spans: Spans, provider: Provider
) -> None:
    provider.statuses = [503] * 3
    await client.post("/v1/chat", json=QUESTION)
    call, request = spans.all[-2:]
    assert facts(call)["error.type"] == "ProviderUnavailableError"
    assert facts(request)["error.type"] == "502"
    assert {span.status.status_code for span in spans.all} == {StatusCode.ERROR}


async def test_a_refused_request_is_no_failure_of_ours(
    client: httpx2.AsyncClient, spans: Spans
) -> None:
    await client.post("/v1/chat", json={"messages": []})
    (request,) = spans.all
    told = facts(request)
    assert (told["http.response.status_code"], told["http.route"]) == (422, "/v1/chat")
    assert request.status.status_code is StatusCode.UNSET


async def test_embeddings_are_a_call_too(spans: Spans) -> None:
    async with traced_service(spans, httpx2.ASGITransport(create_mock())) as http:
        await http.post("/v1/embeddings", json={"texts": ["a", "b"]})
    call = spans.one("embeddings text-embedding-3-small")
    told = facts(call)
    assert (told["gen_ai.operation.name"], told["app.llm.texts"]) == ("embeddings", 2)
    assert told["gen_ai.usage.input_tokens"] > 0
    assert [span.name for span in spans.below(call)] == ["attempt openai"]


async def test_an_answer_from_the_cache_has_no_attempt_and_no_tokens(
    spans: Spans, provider: Provider
) -> None:
    transport = httpx2.MockTransport(provider)
    async with traced_service(spans, transport, enable_caching=True) as http:
        for _ in range(2):
            await http.post("/v1/chat", json=QUESTION)
    assert spans.names.count("attempt openai") == 1
    again = facts(spans.all[-2])
    assert again["app.llm.cached"] is True
    assert "gen_ai.usage.input_tokens" not in again


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "streamed"])
async def test_the_callers_trace_is_continued_to_the_provider(
    body: dict[str, object], client: httpx2.AsyncClient, spans: Spans, provider: Provider
) -> None:
    await client.post("/v1/chat", json=body, headers=CALLER)
    request, attempt = spans.one("POST /v1/chat"), spans.one("attempt openai")
    assert request.parent is not None
    assert request.parent.is_remote
    assert f"{span_id(request.parent):016x}" == "00f067aa0ba902b7"
    assert provider.requests[0].headers["traceparent"] == traceparent_of(attempt)
    assert {f"{span.context.trace_id:032x}" for span in spans.all if span.context} == {TRACE}


async def test_an_unsampled_traceparent_makes_no_spans_and_is_passed_on(
    client: httpx2.AsyncClient, spans: Spans, provider: Provider
) -> None:
    await client.post(
        "/v1/chat", json=QUESTION, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}
    )
    assert spans.all == ()
    sent = provider.requests[0].headers["traceparent"]
    assert (sent[3:35], sent[-2:]) == (TRACE, "00")


async def test_every_line_of_the_log_has_the_id_of_the_trace(
    client: httpx2.AsyncClient, spans: Spans, logs: CapturedLogs
) -> None:
    answer = await client.post("/v1/chat", json=STREAMED)
    request = spans.one("POST /v1/chat")
    assert request.context is not None
    lines = [
        line for line in logs.lines if line.get("request_id") == answer.headers["x-request-id"]
    ]
    assert {"http.request", "llm.call"} <= {line["event"] for line in lines}
    assert {line["trace_id"] for line in lines} == {f"{request.context.trace_id:032x}"}
    assert facts(request)["http.response.header.x-request-id"] == (answer.headers["x-request-id"],)


async def test_fifty_requests_at_once_are_fifty_trees(
    client: httpx2.AsyncClient, spans: Spans
) -> None:
    bodies = [STREAMED if number % 2 else QUESTION for number in range(50)]
    await asyncio.gather(*(client.post("/v1/chat", json=body) for body in bodies))
    roots = [span for span in spans.all if span.parent is None]
    calls = [spans.below(root) for root in roots]
    assert [len(below) for below in calls] == [1] * 50
    assert [len(spans.below(call)) for (call,) in calls] == [1] * 50


async def test_probes_have_no_trace(client: httpx2.AsyncClient, spans: Spans) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/metrics/summary"):
        await client.get(path)
    assert spans.all == ()


async def test_no_prompt_no_answer_and_no_key_is_in_a_span(
    client: httpx2.AsyncClient, spans: Spans, provider: Provider
) -> None:
    provider.statuses = [401]
    secret = {"messages": [{"role": "user", "content": "the prompt"}], "model": KEY}
    await client.post(f"/v1/chat/{KEY}", json=secret)
    for _ in range(2):
        await client.post("/v1/chat", json=secret)
    assert spans.names.count("chat sk-***") == 2
    assert [word for word in (KEY, "the prompt", "Zugspitze") if word in spans.text] == []


async def test_previews_have_a_switch(spans: Spans, provider: Provider) -> None:
    long = {"messages": [{"role": "user", "content": "x" * 100 + KEY}]}
    transport = httpx2.MockTransport(provider)
    async with traced_service(spans, transport, log={"previews": True}) as http:
        await http.post("/v1/chat", json=long)
    told = facts(spans.one("chat gpt-5-mini"))
    part = '{"type":"text","content":"' + "x" * 80 + '"}'
    assert told["gen_ai.input.messages"] == '[{"role":"user","parts":[' + part + "]}]"
    assert '"role":"assistant"' in told["gen_ai.output.messages"]
