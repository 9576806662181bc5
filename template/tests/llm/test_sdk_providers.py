"""Properties of the vendors' SDKs only. Tests that all providers share are elsewhere."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2 as httpx
import pytest

from app.errors import (
    AuthenticationError,
    LLMError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RequestRefusedError,
    StreamInterruptedError,
    UnsupportedRequestError,
)
from app.llm.http import HTTPPolicy, open_connections
from app.llm.providers.registry import APIS
from app.llm.types import Done, EmbeddingRequest
from app.settings import Settings
from app.telemetry.correlation import request_id
from app.testing import CapturedLogs
from app.wiring import open_service
from mock_api.application import create_app as create_mock
from tests.llm.samples import (
    ANTHROPIC,
    ANTHROPIC_SDK,
    OPENAI,
    OPENAI_SDK,
    REQUEST,
    TEXT,
    JSONObject,
    Sample,
    ask,
)

SOURCE = Path(__file__).parents[2] / "src"

both = pytest.mark.parametrize(
    "sample", [OPENAI_SDK, ANTHROPIC_SDK], ids=lambda sample: sample.name
)
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Upstream:
    """A provider that answers as the sample says, after the given statuses."""

    def __init__(self, sample: Sample, *statuses: int) -> None:
        self.sample = sample
        self.statuses = list(statuses)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.statuses:
            return httpx.Response(self.statuses.pop(0))
        if json.loads(request.content).get("stream"):
            headers = {"Content-Type": "text/event-stream"}
            return httpx.Response(200, content=self.sample.stream, headers=headers)
        headers = {"Content-Type": "application/json"}
        return httpx.Response(200, content=self.sample.body, headers=headers)

    async def asked(self, *, stream: bool) -> httpx.Request:
        transport = httpx.MockTransport(self)
        async with open_connections(HTTPPolicy(), transport) as connections:
            await ask(self.sample.model(connections), stream=stream)
        return self.requests[-1]


@streamed_or_not
@pytest.mark.parametrize(
    ("own", "sdk"),
    [(OPENAI, OPENAI_SDK), (ANTHROPIC, ANTHROPIC_SDK)],
    ids=lambda sample: sample.name,
)
async def test_an_sdk_sends_the_same_request_as_the_own_client(
    own: Sample, sdk: Sample, *, stream: bool
) -> None:
    token = request_id.set("abc-123")
    try:
        expected = await Upstream(own).asked(stream=stream)
        request = await Upstream(sdk).asked(stream=stream)
    finally:
        request_id.reset(token)
    assert (request.method, request.url.path) == (expected.method, expected.url.path)
    assert json.loads(request.content) == {
        **json.loads(expected.content),
        "model": f"{sdk.name}-model",
    }
    key_headers = ("authorization", "api-key", "x-api-key")
    for name in (*key_headers, "anthropic-version", "accept-encoding", "x-request-id"):
        assert request.headers.get(name) == expected.headers.get(name)


@streamed_or_not
@both
async def test_an_sdk_does_not_try_again_by_itself(sample: Sample, *, stream: bool) -> None:
    upstream = Upstream(sample, 503)
    with pytest.raises(ProviderUnavailableError):
        await upstream.asked(stream=stream)
    assert len(upstream.requests) == 1


@streamed_or_not
@both
async def test_an_sdk_does_not_log_prompts(
    sample: Sample, logs: CapturedLogs, *, stream: bool
) -> None:
    await Upstream(sample).asked(stream=stream)
    assert "Zugspitze" not in logs.text
    assert "http" not in logs.text


class LongPage(httpx.AsyncByteStream):
    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(9):
            yield b"x" * 30_000

    async def aclose(self) -> None:
        self.closed = True


@streamed_or_not
@both
async def test_a_refusal_that_is_not_read_to_its_end_closes_the_connection(
    sample: Sample, *, stream: bool
) -> None:
    page = LongPage()
    transport = httpx.MockTransport(lambda _: httpx.Response(500, stream=page))
    async with open_connections(HTTPPolicy(), transport) as connections:
        with pytest.raises(ProviderUnavailableError):
            await ask(sample.model(connections), stream=stream)
        assert page.closed


def error(kind: str) -> tuple[str, JSONObject]:
    return "error", {"type": "error", "error": {"type": kind, "message": "It broke."}}


@pytest.mark.parametrize(
    ("sample", "kind", "expected"),
    [
        (OPENAI_SDK, "server_error", ProviderUnavailableError),
        (OPENAI_SDK, "insufficient_quota", QuotaExhaustedError),
        (OPENAI_SDK, "invalid_request_error", RequestRefusedError),
        (ANTHROPIC_SDK, "overloaded_error", ProviderUnavailableError),
        (ANTHROPIC_SDK, "billing_error", QuotaExhaustedError),
        (ANTHROPIC_SDK, "authentication_error", AuthenticationError),
    ],
    ids=lambda value: value.name if isinstance(value, Sample) else None,
)
async def test_an_error_within_a_stream_is_one_of_ours(
    sample: Sample, kind: str, expected: type[LLMError]
) -> None:
    broken = sample.with_events(*sample.events[:-4], error(kind))
    with pytest.raises(LLMError, match="It broke") as raised:
        await Upstream(broken).asked(stream=True)
    assert type(raised.value) is expected
    assert raised.value.provider == sample.name


@both
async def test_an_interrupted_stream_has_the_providers_name_too(sample: Sample) -> None:
    with pytest.raises(StreamInterruptedError) as raised:
        await Upstream(sample.with_events(*sample.events[: sample.finish])).asked(stream=True)
    assert raised.value.provider == sample.name
    assert raised.value.text == TEXT


@both
async def test_an_event_that_is_no_object_is_malformed(sample: Sample) -> None:
    odd = sample.with_events(sample.events[0], (sample.events[0][0], "7"))
    with pytest.raises(LLMError, match="malformed answer"):
        await Upstream(odd).asked(stream=True)


async def test_a_refusal_of_an_sdk_provider_has_its_own_name() -> None:
    async with open_connections(HTTPPolicy()) as connections:
        model = ANTHROPIC_SDK.model(connections)
        with pytest.raises(UnsupportedRequestError) as raised:
            await model.embed(EmbeddingRequest(("text",)))
    assert raised.value.provider == model.name == ANTHROPIC_SDK.name


async def test_openai_turns_texts_into_vectors_by_its_sdk_as_without_it() -> None:
    mock = httpx.ASGITransport(create_mock())
    texts = EmbeddingRequest(("one", "two words"))
    async with open_connections(HTTPPolicy(), mock) as connections:
        by_sdk = await OPENAI_SDK.model(connections).embed(texts)
        assert by_sdk == await OPENAI.model(connections).embed(texts)
    assert len(by_sdk.vectors) == 2


@both
async def test_the_settings_choose_it_by_name(sample: Sample) -> None:
    settings = Settings(llm_providers=(sample.name,))
    upstream = Upstream(sample)
    async with open_service(settings, transport=httpx.MockTransport(upstream)) as service:
        assert (await service.chat.complete(REQUEST)).content == TEXT
        *_, done = [event async for event in service.chat.stream(REQUEST)]
    assert isinstance(done, Done)
    assert done.response.provider == sample.name
    model = settings.openai.model if sample is OPENAI_SDK else settings.anthropic.model
    assert json.loads(upstream.requests[0].content)["model"] == model


@pytest.mark.slow
def test_without_an_sdk_provider_no_sdk_is_imported() -> None:
    code = "import sys, app.wiring; print(sorted({'openai', 'anthropic'} & sys.modules.keys()))"
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"[]\n"
    assert APIS.keys() >= {"openai-sdk", "anthropic-sdk"}
