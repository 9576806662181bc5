"""Every provider against the mock API, which speaks their protocols on a real socket."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from app.errors import (
    AuthenticationError,
    LLMError,
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    StreamInterruptedError,
)
from app.llm.http import Connections, HTTPPolicy, open_connections
from app.llm.model import Provider
from app.llm.types import Done, TextDelta
from app.network import ssl_context
from mock_api.testing import running_server
from tests.llm.samples import REQUEST, SAMPLES, Sample, ask

POLICY = HTTPPolicy(request_timeout_s=10, stream_chunk_timeout_s=10)


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
async def mock(mock_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=mock_url, trust_env=False, verify=ssl_context()
    ) as client:
        yield client
        await client.delete("/_mock/faults")


EACH = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


@pytest.fixture(params=SAMPLES, ids=lambda sample: sample.name)
async def model(request: pytest.FixtureRequest, mock_url: str) -> AsyncIterator[Provider]:
    async with open_connections(POLICY) as connections:
        yield provider(request.param, mock_url, connections)


def provider(
    sample: Sample, mock_url: str, connections: Connections, key: SecretStr | None = None
) -> Provider:
    policy = sample.policy(mock_url + sample.mock_path, "gpt-5-mini", key)
    return sample.make(policy, connections)


async def test_a_question_is_answered(model: Provider) -> None:
    response = await model.complete(REQUEST)
    assert response.provider == model.name
    assert response.content
    assert response.finish_reason == "stop"
    assert response.usage.total_tokens > 0


async def test_a_stream_has_the_same_answer(model: Provider) -> None:
    whole = await model.complete(REQUEST)
    *deltas, done = [event async for event in model.stream(REQUEST)]
    assert isinstance(done, Done)
    assert "".join(d.text for d in deltas if isinstance(d, TextDelta)) == whole.content
    own = {"id": whole.id, "provider_request_id": whole.provider_request_id}
    assert done.response.provider_request_id not in {None, whole.provider_request_id}
    assert done.response.model_copy(update=own) == whole


async def broken(
    mock: httpx.AsyncClient, model: Provider, *, stream: bool, **fault: object
) -> LLMError:
    (await mock.put("/_mock/faults", json=fault)).raise_for_status()
    with pytest.raises(LLMError) as raised:
        await ask(model, stream=stream)
    return raised.value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_429_of_a_provider_has_its_retry_after(
    mock: httpx.AsyncClient, model: Provider, *, stream: bool
) -> None:
    error = await broken(mock, model, stream=stream, status=429, retry_after=7)
    assert type(error) is RateLimitError
    assert error.retry_after_s == 7


@pytest.mark.parametrize("status", [500, 503, 529])
async def test_a_broken_provider_is_unavailable(
    mock: httpx.AsyncClient, model: Provider, status: int
) -> None:
    error = await broken(mock, model, stream=False, status=status)
    assert type(error) is ProviderUnavailableError


async def test_a_malformed_answer_is_an_error(mock: httpx.AsyncClient, model: Provider) -> None:
    assert type(await broken(mock, model, stream=False, malformed=True)) is MalformedAnswerError


async def test_a_dropped_stream_keeps_its_text(mock: httpx.AsyncClient, model: Provider) -> None:
    whole = await model.complete(REQUEST)
    error = await broken(mock, model, stream=True, drop_after_chunks=6)
    assert type(error) is StreamInterruptedError
    assert error.text
    assert whole.content.startswith(error.text)


async def test_a_stream_dropped_at_once_is_a_lost_connection(
    mock: httpx.AsyncClient, model: Provider
) -> None:
    assert (
        type(await broken(mock, model, stream=True, drop_after_chunks=0)) is ProviderConnectionError
    )


@EACH
async def test_a_stalled_stream_is_a_timeout(
    mock: httpx.AsyncClient, mock_url: str, sample: Sample
) -> None:
    hurried = replace(POLICY, stream_chunk_timeout_s=0.2)
    async with open_connections(hurried) as connections:
        model = provider(sample, mock_url, connections)
        error = await broken(mock, model, stream=True, stall_after_chunks=2)
    assert type(error) is ProviderTimeoutError


async def test_a_ping_of_a_healthy_provider_succeeds(model: Provider) -> None:
    await model.ping()


async def test_a_ping_fails_as_a_call_would(mock: httpx.AsyncClient, model: Provider) -> None:
    (await mock.put("/_mock/faults", json={"status": 503})).raise_for_status()
    with pytest.raises(ProviderUnavailableError):
        await model.ping()


@EACH
async def test_a_ping_finds_out_that_a_key_is_bad(mock_url: str, sample: Sample) -> None:
    async with open_connections(POLICY) as connections:
        with pytest.raises(AuthenticationError):
            await provider(sample, mock_url, connections, SecretStr("invalid")).ping()
