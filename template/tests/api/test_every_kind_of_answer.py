"""Headers that each answer has, whichever part of the service writes it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.testing import FakeChatModel
from tests.client_keys import CLIENT_KEYS, KEYS, bearer
from tests.running_service import QUESTION, STREAMED, opened

SITE = "https://app.example.com"
OTHER_SITE = "https://evil.example.com"
ACME = bearer(KEYS["acme"])

# Method, path, headers, body, and the status of the answer.
KINDS: dict[str, tuple[str, str, dict[str, str], Any, int]] = {
    "an answer": ("POST", "/v1/chat", ACME, QUESTION, 200),
    "a stream": ("POST", "/v1/chat", ACME, STREAMED, 200),
    "a probe": ("GET", "/healthz", {}, None, 200),
    "a page": ("GET", "/openapi.json", {}, None, 200),
    "no key": ("POST", "/v1/chat", {}, QUESTION, 401),
    "another tenant": ("POST", "/v1/chat", {**ACME, "x-tenant-id": "globex"}, QUESTION, 403),
    "an unknown path": ("GET", "/v1/nothing", ACME, None, 404),
    "an unknown method": ("DELETE", "/v1/chat", ACME, None, 405),
    "a body too large": ("POST", "/v1/chat", ACME, {"messages": "x" * 3_000_000}, 413),
    "a bad request": ("POST", "/v1/chat", ACME, {}, 422),
    "a wrong deadline": ("POST", "/v1/chat", {**ACME, "x-request-timeout": "soon"}, QUESTION, 422),
    "an unexpected error": ("GET", "/boom", ACME, None, 500),
    "OpenAI's bad request": ("POST", "/openai/v1/chat/completions", ACME, {}, 400),
    "OpenAI's no key": ("GET", "/openai/v1/models", {}, None, 401),
    "OpenAI's unknown path": ("GET", "/openai/v1/nothing", ACME, None, 404),
    "OpenAI's unknown method": ("DELETE", "/openai/v1/models", ACME, None, 405),
    "OpenAI's body too large": (
        "POST",
        "/openai/v1/embeddings",
        ACME,
        {"input": "x" * 3_000_000},
        413,
    ),
}
each_kind = pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"), KINDS.values(), ids=KINDS
)


@asynccontextmanager
async def service() -> AsyncIterator[httpx2.AsyncClient]:
    settings: dict[str, Any] = {"cors_origins": SITE, "client": {"keys": CLIENT_KEYS}}
    async with opened(FakeChatModel("Hi"), **settings) as running:

        @running.app.get("/boom")
        async def boom() -> None:
            raise RuntimeError("unexpected")

        yield running.http


@each_kind
async def test_an_allowed_site_may_read_every_kind_of_answer(
    method: str, path: str, headers: dict[str, str], body: Any, status: int
) -> None:
    async with service() as http:
        answer = await http.request(method, path, headers={**headers, "Origin": SITE}, json=body)
    assert answer.headers.get_list("access-control-allow-origin") == [SITE]
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert answer.status_code == status


@each_kind
async def test_another_site_may_read_no_kind_of_answer(
    method: str, path: str, headers: dict[str, str], body: Any, status: int
) -> None:
    async with service() as http:
        sent = {**headers, "Origin": OTHER_SITE}
        answer = await http.request(method, path, headers=sent, json=body)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.status_code == status
