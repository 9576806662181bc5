"""Requests that the middleware refuses, as error classes of the official SDK."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import HTTPException

from app.main import create_app
from app.settings import Settings
from mock_api.application import create_app as create_mock
from tests import sdk
from tests.client_keys import CLIENT_KEYS, KEYS

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]
SITE = "https://app.example.com"
WRONG = "ck_wrong"
MEGABYTES: list[Any] = [{"role": "user", "content": "x" * 3_000_000}]


@asynccontextmanager
async def client_with(key: str = KEYS["acme"], **settings: Any) -> AsyncIterator[Any]:
    """The SDK in front of a service with client keys, which a site may call."""
    client = {"keys": CLIENT_KEYS, **settings.pop("client", {})}
    chosen = Settings(client=client, cors_origins=SITE, **settings)  # type: ignore[arg-type]
    app = create_app(chosen, transport=httpx2.ASGITransport(create_mock()))

    @app.get("/openai/v1/files")
    async def files() -> None:
        raise RuntimeError("unexpected")

    @app.get("/openai/v1/batches")
    async def batches() -> None:
        raise HTTPException(402, "Pay first.")

    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as http,
    ):
        yield sdk.openai.AsyncOpenAI(
            base_url="http://service/openai/v1",
            api_key=key,
            max_retries=0,
            http_client=http,
            default_headers={"Origin": SITE},
        )


async def chat(
    client: Any, messages: list[Any] = HELLO, headers: dict[str, str] | None = None
) -> None:
    await client.chat.completions.create(model="auto", messages=messages, extra_headers=headers)


def check(error: Any, status: int, kind: str, code: str | None) -> None:
    """The envelope, and the headers that every answer has."""
    assert (error.status_code, error.type, error.code) == (status, kind, code)
    assert set(error.body) == {"message", "type", "param", "code"}
    headers = error.response.headers
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == str(len(error.response.content))
    assert headers["cache-control"] == "no-store"
    assert headers["access-control-allow-origin"] == SITE
    assert error.request_id == headers["x-request-id"]


async def test_a_wrong_key_is_an_authentication_error() -> None:
    async with client_with(WRONG) as client:
        with pytest.raises(sdk.openai.AuthenticationError) as raised:
            await chat(client)
    check(raised.value, 401, "invalid_request_error", "invalid_api_key")
    assert raised.value.response.headers["www-authenticate"] == "Bearer"


async def test_the_tenant_of_another_client_is_a_permission_error() -> None:
    async with client_with() as client:
        with pytest.raises(sdk.openai.PermissionDeniedError) as raised:
            await chat(client, headers={"X-Tenant-ID": "globex"})
    check(raised.value, 403, "invalid_request_error", "forbidden")


async def test_a_model_that_is_not_allowed_is_a_permission_error() -> None:
    async with client_with(allowed_models="gpt-5-mini") as client:
        with pytest.raises(sdk.openai.PermissionDeniedError) as raised:
            await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    check(raised.value, 403, "invalid_request_error", "model_not_allowed")


async def test_a_body_that_is_too_large_is_an_error_of_its_status() -> None:
    async with client_with() as client:
        with pytest.raises(sdk.openai.APIStatusError) as raised:
            await chat(client, MEGABYTES)
    check(raised.value, 413, "invalid_request_error", None)


async def test_a_request_above_the_limit_is_a_rate_limit_error_with_the_time_to_wait() -> None:
    async with client_with(client={"requests_per_minute": 1}) as client:
        await chat(client)
        with pytest.raises(sdk.openai.RateLimitError) as raised:
            await chat(client)
    check(raised.value, 429, "requests", "rate_limit_exceeded")
    headers = raised.value.response.headers
    assert int(headers["retry-after"]) > 0
    assert headers["ratelimit-policy"] == '"requests";q=1;w=60'
    assert "ratelimit" in headers["access-control-expose-headers"].lower()


async def test_a_spent_budget_is_a_rate_limit_error_that_the_sdk_does_not_repeat() -> None:
    async with client_with(client={"budget_usd_per_day": 0.000_001}) as client:
        await chat(client)
        with pytest.raises(sdk.openai.RateLimitError) as raised:
            await client.with_options(max_retries=5).chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "Again"}]
            )
    check(raised.value, 429, "insufficient_quota", "insufficient_quota")
    assert raised.value.response.headers["x-should-retry"] == "false"


async def test_a_402_of_a_projects_own_endpoint_is_a_spent_quota() -> None:
    async with client_with() as client:
        with pytest.raises(sdk.openai.RateLimitError, match="Pay first") as raised:
            await client.batches.list()
    check(raised.value, 429, "insufficient_quota", "insufficient_quota")


async def test_an_unexpected_error_is_a_server_error() -> None:
    async with client_with() as client:
        with pytest.raises(sdk.openai.InternalServerError) as raised:
            await client.files.list()
    check(raised.value, 500, "server_error", "internal_error")
    assert "unexpected" not in raised.value.message


async def test_a_path_that_is_not_there_is_a_not_found_error() -> None:
    async with client_with() as client:
        with pytest.raises(sdk.openai.NotFoundError) as raised:
            await client.images.generate(prompt="a mountain")
    check(raised.value, 404, "invalid_request_error", "unknown_url")
