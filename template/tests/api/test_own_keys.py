"""A provider that repeats the key in every part of its answers: the key never leaves the service."""

import base64
import html
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import quote

import httpx2
import pytest
from pydantic import SecretStr

from app.llm.providers.anthropic.policy import AnthropicPolicy
from app.llm.providers.openai.policy import OpenAIPolicy
from app.main import create_app
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.rate_limit import RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.settings import Settings
from app.telemetry.logging import LogPolicy
from app.telemetry.redaction import KNOWN
from app.testing import CapturedLogs
from tests.running_service import QUESTION, STREAMED, events_of
from tests.telemetry.spans import Spans

KEYS = {
    "of Groq": "gsk_9Zq8LmN2vXc4Rt7YpW3b",
    "of Azure": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "a UUID": "6f1d2c3b-aaaa-4bbb-8ccc-0123456789ab",
    "short": "k3yk3y88",
    "with signs": 'p@"ss\\w/rd&<x>.*+',
}
Answer = Callable[[str], httpx2.Response]
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def completion(**changes: object) -> dict[str, object]:
    message = {"role": "assistant", "content": changes.pop("content", "Hello")}
    choice = {"index": 0, "message": message, "finish_reason": changes.pop("finish_reason", "stop")}
    whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE}
    return {**whole, "choices": [choice], **changes}


def chunk(content: str | None, **changes: object) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": None if content is not None else "stop"}
    whole = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + json.dumps({**whole, "choices": [choice], **changes}).encode() + b"\n\n"


def error(text: str) -> dict[str, object]:
    return {
        "error": {"message": text, "type": "invalid_request_error", "param": text, "code": text}
    }


def html_page(key: str) -> httpx2.Response:
    return httpx2.Response(502, html=f"<h1>Bad key {html.escape(key)}</h1>")


ANSWERS: dict[str, Answer] = {
    "error": lambda key: httpx2.Response(401, json=error(f"Incorrect API key provided: {key}.")),
    "error, refused": lambda key: httpx2.Response(400, json=error(f"x-api-key: {key}")),
    "error, long": lambda key: httpx2.Response(400, json=error("x" * 190 + key)),
    "error as a text": lambda key: httpx2.Response(500, json={"error": f"key={key}"}),
    "error as plain text": lambda key: httpx2.Response(503, text=f"no such key: {key}"),
    "error as HTML": html_page,
    "error in another envelope": lambda key: httpx2.Response(403, json={"detail": key}),
    "error in base64": lambda key: httpx2.Response(
        400, json=error("got " + base64.b64encode(f"user:{key}".encode()).decode())
    ),
    "error in a URL": lambda key: httpx2.Response(404, json=error(f"/v1?k={quote(key, safe='')}")),
    "redirect": lambda key: httpx2.Response(302, headers={"Location": f"/?k={quote(key)}"}),
    "headers": lambda key: httpx2.Response(
        429, json=error("slow"), headers={"x-request-id": key, "retry-after": "0", "x-key": key}
    ),
    "headers of an answer": lambda key: httpx2.Response(
        200, json=completion(), headers={"x-request-id": key}
    ),
    "content": lambda key: httpx2.Response(200, json=completion(content=f"Your key is {key}!")),
    "content in JSON": lambda key: httpx2.Response(
        200, json=completion(content=json.dumps({"key": key}))
    ),
    "names": lambda key: httpx2.Response(200, json=completion(id=key, model=key)),
    "finish": lambda key: httpx2.Response(200, json=completion(finish_reason=key)),
    "unknown fields": lambda key: httpx2.Response(
        200, json=completion(system_fingerprint=key, x_extra={"key": key})
    ),
    "wrong types": lambda key: httpx2.Response(200, json=completion(choices=key)),
    "no JSON": lambda key: httpx2.Response(200, text=f"{{{key}"),
    "an error with status 200": lambda key: httpx2.Response(200, json=error(key)),
    "a stream": lambda key: stream(chunk(f"It is {key}."), chunk(None), b"data: [DONE]\n\n"),
    "names in a stream": lambda key: stream(
        chunk("Hi", id=key, model=key), chunk(None), b"data: [DONE]\n\n"
    ),
    "an error in a stream": lambda key: stream(
        chunk("Hi"), b"data: " + json.dumps(error(f"bad {key}")).encode() + b"\n\n"
    ),
    "a broken stream": lambda key: stream(chunk(f"It is {key}"), chunk(" and")),
    "no event": lambda key: stream(f"data: {key}\n\n".encode()),
    "an odd event": lambda key: stream(f"event: {key}\ndata: {{}}\n\n".encode()),
}


def stream(*pieces: bytes) -> httpx2.Response:
    async def body() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece

    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body())


def split(key: str, at: int) -> httpx2.Response:
    pieces = [chunk("It is "), chunk(key[:at]), chunk(key[at:]), chunk(" now"), chunk(None)]
    return stream(*pieces, b"data: [DONE]\n\n")


def lost(key: str) -> httpx2.Response:
    raise httpx2.ConnectError(f"cannot send Authorization: Bearer {key}")


def failed(key: str) -> httpx2.Response:
    raise RuntimeError(f"unexpected: {key!r}")


ANSWERS |= {"lost": lost, "failed": failed}


class Upstream(httpx2.AsyncBaseTransport):
    """Gives each request the answer that the test has chosen."""

    def __init__(self, key: str, answer: Answer) -> None:
        self._key = key
        self.answer = answer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        del request
        return self.answer(self._key)


@asynccontextmanager
async def service(upstream: Upstream, key: str, spans: Spans) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(
        llm_providers=("openai", "anthropic"),
        openai=OpenAIPolicy("http://upstream/v1", "m", SecretStr(key)),
        anthropic=AnthropicPolicy("http://upstream", "m", SecretStr("another-key-of-us")),
        enable_caching=False,
        debug_mode=True,
        log=LogPolicy(level="DEBUG", previews=True),
        retry=RetryPolicy(max_attempts=1),
        breaker=BreakerPolicy(failures=1_000, failure_rate=1),
        rate_limit=RateLimitPolicy(requests_per_minute=100_000),
        health_probe_interval_s=0,
    )
    app = create_app(settings, transport=upstream, tracer=spans.tracer)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http


def forms(key: str) -> Iterator[str]:
    yield key
    yield json.dumps(key)[1:-1]
    yield json.dumps(json.dumps(key)[1:-1])[1:-1]
    yield quote(key)
    yield quote(key, safe="")
    yield html.escape(key)
    yield base64.b64encode(f"user:{key}".encode()).decode()


_SLOW = {"of Groq", "a UUID"}  # as the one of Azure, for the fast tests


@pytest.fixture(
    params=[
        pytest.param(key, id=name, marks=[pytest.mark.slow] if name in _SLOW else [])
        for name, key in KEYS.items()
    ]
)
def key(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_no_encoding_of_the_services_key_leaves_the_service(
    key: str, logs: CapturedLogs
) -> None:
    shown: list[str] = []
    spans = Spans()
    upstream = Upstream(key, lost)
    async with service(upstream, key, spans) as http:
        for name, upstream.answer in ANSWERS.items():
            answers = [each async for each in _asked(http)]
            shown += [f"{name}: {each.headers.raw} {each.text}" for each in answers]
    shown += [*logs.text.splitlines(), *spans.text.splitlines()]
    assert [text for text in shown for form in forms(key) if form in text] == []
    assert spans.names.count("chat m") >= CHATS * len(ANSWERS)
    assert len(logs.events("llm.call")) >= (CHATS + 1) * len(ANSWERS)
    assert sum("***" in text for text in shown) > 2 * len(ANSWERS)


CHATS = 2  # whole and streamed
CHATS += 1  # feature: extract


async def _asked(http: httpx2.AsyncClient) -> AsyncIterator[httpx2.Response]:
    for stream in (False, True):
        body = {**QUESTION, "provider": "openai", "stream": stream}
        yield await http.post("/v1/chat", json=body)
    yield await http.post("/v1/embeddings", json={"texts": ["a"]})
    yield await http.post("/v1/extract", json={"text": "Invoice"})  # feature: extract
    for path in ("/readyz", "/metrics", "/metrics/summary"):
        yield await http.get(path)


async def test_a_key_split_between_two_deltas_is_masked(key: str) -> None:
    upstream = Upstream(key, lost)
    async with service(upstream, key, Spans()) as http:
        for at in range(1, len(key)):
            upstream.answer = partial(split, at=at)
            *deltas, (name, done) = events_of((await http.post("/v1/chat", json=STREAMED)).text)
            assert "".join(json.loads(data)["text"] for _, data in deltas) == "It is *** now"
            assert (name, json.loads(done)["content"]) == ("done", "It is *** now")


@pytest.mark.parametrize("key", [key for key in KEYS.values() if '"' not in key])
async def test_an_own_key_as_request_id_is_masked(key: str, logs: CapturedLogs) -> None:
    """A key with a quotation mark is no accepted request id."""
    spans = Spans()
    async with service(Upstream(key, lost), key, spans) as http:
        answer = await http.get("/nothing", headers={"X-Request-ID": key})
    assert answer.headers["x-request-id"] == "***"
    assert key not in answer.text + logs.text + spans.text


async def test_the_length_of_a_masked_answer_is_right() -> None:
    async with service(Upstream("k3yk3y88", ANSWERS["content"]), "k3yk3y88", Spans()) as http:
        answer = await http.post("/v1/chat", json=QUESTION)
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.json()["content"] == "Your key is ***!"


async def test_nothing_is_masked_after_the_service_has_closed() -> None:
    async with service(Upstream("k3yk3y88", lost), "k3yk3y88", Spans()):
        assert KNOWN.hide("k3yk3y88 another-key-of-us") == "*** ***"
    assert KNOWN.hide("k3yk3y88 another-key-of-us") == "k3yk3y88 another-key-of-us"
