"""Servers that are compatible with OpenAI's API, each with its own rules, behind the whole service."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from app.main import create_app
from app.settings import load

KEY = "mk-canary-0123456789"
JSON = dict[str, object]
Handler = Callable[[httpx2.Request, JSON], httpx2.Response]


# Fields of OpenAI's that Mistral's API describes; it refuses every other one with 422.
MISTRALS = {"model", "messages", "max_tokens", "temperature", "stream", "response_format"} | {
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "top_p",
    "stop",
}
MISTRALS_EMBEDDINGS = {"model", "input", "encoding_format"}
USAGE: JSON = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def answered(
    text: str = "Hello!", usage: JSON | None = USAGE, model: str = "m-2026"
) -> httpx2.Response:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": model}
    return httpx2.Response(200, json={**body, "choices": [choice], "usage": usage})


def streamed(text: str = "Hello!", usage: JSON | None = USAGE) -> httpx2.Response:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m-2026"}
    first = {**chunk, "choices": [{"index": 0, "delta": {"content": text}}]}
    last = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    frames = [json.dumps(item) for item in (first, last | {"usage": usage})] + ["[DONE]"]
    body = "".join(f"data: {frame}\n\n" for frame in frames)
    return httpx2.Response(200, text=body, headers={"Content-Type": "text/event-stream"})


def vectors(body: JSON) -> httpx2.Response:
    texts = body["input"]
    assert isinstance(texts, list)
    data = [{"object": "embedding", "index": i, "embedding": [0.5, 1.0]} for i in range(len(texts))]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    return httpx2.Response(200, json={"object": "list", "data": data, "model": "e", "usage": usage})


class Server:
    """A compatible server: it keeps the requests."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self._handler(request, json.loads(request.content or b"{}"))

    @property
    def bodies(self) -> list[JSON]:
        return [json.loads(request.content) for request in self.requests if request.content]


def mistral(request: httpx2.Request, body: JSON) -> httpx2.Response:
    """Strict: an unknown field is refused by its name."""
    embeds = request.url.path.endswith("/embeddings")
    unknown = set(body) - (MISTRALS_EMBEDDINGS if embeds else MISTRALS)
    detail = [{"type": "extra_forbidden", "loc": ["body", name]} for name in sorted(unknown)]
    if unknown or body.get("encoding_format") == "base64":
        return httpx2.Response(422, json={"object": "error", "message": {"detail": detail}})
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return httpx2.Response(401, json={"message": "Unauthorized"})
    if embeds:
        return vectors(body)
    return streamed() if body.get("stream") else answered()


def azure(request: httpx2.Request, body: JSON) -> httpx2.Response:
    """A deployment: the version in the query, a header of its own, and no list of models."""
    if request.headers.get("api-key") != KEY or "authorization" in request.headers:
        return httpx2.Response(401, json={"error": {"code": "401", "message": "Access denied"}})
    if dict(request.url.params) != {"api-version": "2024-10-21"}:
        return httpx2.Response(404, json={"error": {"code": "404", "message": "not found"}})
    if request.url.path != "/openai/deployments/gpt/chat/completions":
        return httpx2.Response(404, json={"error": {"code": "404", "message": "not found"}})
    return streamed() if body.get("stream") else answered()


def ollama(request: httpx2.Request, body: JSON) -> httpx2.Response:
    """No key; unknown fields are ignored, so an answer without `max_tokens` has no limit."""
    if request.url.path == "/v1/embeddings":
        return vectors(body)
    text = "word " * int(str(body.get("max_tokens", 100_000)))
    if not body.get("stream"):
        return answered(text)
    options = body.get("stream_options")
    return streamed(text, USAGE if isinstance(options, dict) else None)


@asynccontextmanager
async def serving(
    server: Server, monkeypatch: pytest.MonkeyPatch, **variables: str
) -> AsyncIterator[httpx2.AsyncClient]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    app = create_app(load(), transport=httpx2.MockTransport(server))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http


MISTRAL = {"LLM_PROVIDERS": "mistral", "PROVIDERS__MISTRAL__API_KEY": KEY}
AZURE = {
    "LLM_PROVIDERS": "azure",
    "PROVIDERS__AZURE__API_KEY": KEY,
    "PROVIDERS__AZURE__MODEL": "gpt",
    "PROVIDERS__AZURE__BASE_URL": "https://x.openai.azure.com/openai/deployments/gpt?api-version=2024-10-21",
}
OLLAMA = {"LLM_PROVIDERS": "ollama", "PROVIDERS__OLLAMA__MODEL": "llama3"}
SERVERS: dict[str, tuple[Handler, dict[str, str]]] = {
    "mistral": (mistral, MISTRAL),
    "azure": (azure, AZURE),
    "ollama": (ollama, OLLAMA),
}
