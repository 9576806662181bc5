"""Every odd dialect of the mock API, asked through the whole service: by both providers, whole and streamed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from pydantic import SecretStr

from app.llm.providers.openai.policy import OpenAIPolicy
from app.llm.providers.policy import ProviderPolicy
from app.main import create_app
from app.resilience.retry import RetryPolicy
from app.settings import Settings
from mock_api.application import create_app as create_mock
from mock_api.oddities import ODDITIES
from mock_api.testing import running_server

SAID = "This is the mock API. You said: "
REFUSALS = {
    "error_in_200": {429, 503},
    "error_as_text": {429, 503},
    "error_as_list": {429, 503},
}
# OpenAI's own preset sends a field that this server does not know.
REFUSED_BY_OPENAI = {"strict_fields"}


@pytest.fixture
def mock() -> httpx2.ASGITransport:
    return httpx2.ASGITransport(create_mock())


@asynccontextmanager
async def service(
    url: str, transport: httpx2.ASGITransport | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    key = SecretStr("sk-canary-0123456789abcdef")
    settings = Settings(
        llm_providers=("openai", "anthropic"),
        openai=OpenAIPolicy(base_url=f"{url}/v1", model="gpt-5-mini", api_key=key),
        anthropic=ProviderPolicy(base_url=url, model="claude-haiku-4-5", api_key=key),
        enable_caching=False,
        retry=RetryPolicy(max_attempts=1),
        stream_silence_timeout_s=0.5,
    )
    app = create_app(settings, transport=transport)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http


@pytest.fixture
async def client(mock: httpx2.ASGITransport) -> AsyncIterator[httpx2.AsyncClient]:
    async with service("http://mock", mock) as http:
        yield http


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("name", [name for name in ODDITIES if name != "pings_only"])
async def test_a_dialect_is_an_answer_or_a_typed_problem(
    *,
    client: httpx2.AsyncClient,
    mock: httpx2.ASGITransport,
    name: str,
    provider: str,
    stream: bool,
) -> None:
    async with httpx2.AsyncClient(transport=mock, base_url="http://mock") as control:
        assert (await control.put("/_mock/dialect", json={"name": name})).status_code == 200
    question = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 50}
    answer = await client.post(
        "/v1/chat", json={**question, "provider": provider, "stream": stream}
    )
    expected = REFUSALS.get(name, {200})
    if name in REFUSED_BY_OPENAI and provider == "openai":
        expected = {422}
    assert answer.status_code in expected, answer.text
    if answer.status_code == 200:
        assert SAID.rsplit(maxsplit=1)[-1] in answer.text
        assert "event: error" not in answer.text
    else:
        assert not answer.json()["type"].endswith("internal-error")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_stream_of_pings_ends_with_a_typed_problem(provider: str) -> None:
    """On a real port: a transport in this process hands over a stream when it has ended."""
    with running_server() as url:
        async with httpx2.AsyncClient(base_url=url) as control, service(url) as client:
            await control.put("/_mock/dialect", json={"name": "pings_only"})
            question = {"messages": [{"role": "user", "content": "Hi"}], "provider": provider}
            answer = await client.post("/v1/chat", json={**question, "stream": True})
    assert answer.status_code == 504, answer.text
    assert answer.json()["type"].startswith("urn:problem:")
