"""The mock API on a real port, and the official SDKs, which judge it."""

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import httpx2
import pytest

from mock_api.application import create_app
from mock_api.testing import running_server
from tests import sdk

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

# Every client would load the certificates of the system, which no test uses: 70 ms each.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
HEADERS = {
    "authorization": "Bearer sk-anything-1234",
    "x-api-key": "sk-ant-anything-1234",
    "anthropic-version": "2023-06-01",
}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
def control(server: str) -> Iterator[httpx2.Client]:
    """The control routes of the running server; leaves it as it was."""
    with httpx2.Client(base_url=f"{server}/_mock", verify=NO_CERTIFICATES) as client:
        client.delete("/requests")
        yield client
        client.delete("/faults")
        client.delete("/batches")


@pytest.fixture
async def http(server: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The running server without an SDK's convenience."""
    async with httpx2.AsyncClient(
        base_url=server, headers=HEADERS, verify=NO_CERTIFICATES
    ) as client:
        yield client


@pytest.fixture
async def pool() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(verify=NO_CERTIFICATES) as client:
        yield client


@pytest.fixture
def openai(server: str, pool: httpx2.AsyncClient) -> "AsyncOpenAI":
    url, key = f"{server}/v1", "sk-anything-1234"
    return sdk.openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0, http_client=pool)


@pytest.fixture
def anthropic(server: str, pool: httpx2.AsyncClient) -> "AsyncAnthropic":
    key = "sk-ant-anything-1234"
    return sdk.anthropic.AsyncAnthropic(
        base_url=server, api_key=key, max_retries=0, http_client=pool
    )


@pytest.fixture
async def api() -> AsyncIterator[httpx2.AsyncClient]:
    """A mock API of this test's own, called in process, with keys for both providers."""
    transport = httpx2.ASGITransport(create_app())
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://mock", headers=HEADERS
    ) as client:
        yield client
