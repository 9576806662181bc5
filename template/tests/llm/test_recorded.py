"""Interactions that were recorded once and are played back without the provider.

A recording keeps a real answer, so a change that can no longer parse it is noticed, and
so is one that sends another request. `docs/testing.md` explains how to make one.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from vcr.cassette import Cassette  # type: ignore[import-untyped]  # it has no stubs
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped]

from app.llm.http import Transport
from app.llm.types import ChatRequest, Done, Message, TextDelta
from app.settings import Settings
from app.wiring import Service, open_service
from mock_api.application import create_app as create_mock

CASSETTES = Path(__file__).parent / "cassettes/test_recorded"
KEY = "sk-no-recording-may-hold-this"

QUESTION = ChatRequest((Message("user", "Where is the Zugspitze?"),), max_tokens=50)
ANSWER = 'This is the mock API. You said: "Where is the Zugspitze?"'

both_providers = pytest.mark.parametrize("provider", ["openai", "anthropic"])


@pytest.fixture
def provider() -> str:
    return "openai"


@pytest.fixture
def answering(record_mode: str) -> Transport | None:
    """The server that is recorded; `None`: the provider itself, or none while playing back."""
    return None if record_mode == "none" else httpx.ASGITransport(create_mock())


@pytest.fixture
async def service(provider: str, answering: Transport | None) -> AsyncIterator[Service]:
    values = {
        "llm_providers": provider,
        "openai": {"base_url": "https://api.openai.com/v1", "api_key": KEY},
        "anthropic": {"base_url": "https://api.anthropic.com", "api_key": KEY},
    }
    settings = Settings(**values)  # type: ignore[arg-type]  # by name
    async with open_service(settings, transport=answering) as service:
        yield service


@pytest.fixture
def _all_played(vcr: Cassette) -> Iterator[None]:
    yield
    assert vcr.all_played or vcr.dirty


@both_providers
@pytest.mark.vcr
@pytest.mark.usefixtures("_all_played")
async def test_a_recorded_answer_is_understood(service: Service, provider: str) -> None:
    response = await service.chat.complete(QUESTION)
    assert (response.provider, response.content) == (provider, ANSWER)
    assert response.usage.total_tokens > 0


@both_providers
@pytest.mark.vcr
@pytest.mark.usefixtures("_all_played")
async def test_a_recorded_stream_is_understood(service: Service) -> None:
    *deltas, done = [event async for event in service.chat.stream(QUESTION)]
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == ANSWER
    assert isinstance(done, Done)
    assert done.response.content == ANSWER


@pytest.mark.vcr
@pytest.mark.usefixtures("_all_played")
async def test_recorded_vectors_are_understood(service: Service) -> None:
    batch = await service.embeddings.embed(["The Zugspitze"])
    (vector,) = batch.items
    assert not isinstance(vector, Exception)
    assert sum(number * number for number in vector) == pytest.approx(1)


@pytest.mark.vcr("test_a_recorded_answer_is_understood-openai.yaml", record_mode="none")
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("Where is Mont Blanc?", id="another question"),
        pytest.param("Where is the Zugspitze? ", id="one more space"),
    ],
)
async def test_a_request_without_a_recording_is_refused(asked: str) -> None:
    """In every mode: no server answers, so nothing could be recorded."""
    settings = Settings(llm_providers=("openai",))
    async with open_service(settings) as service:
        with pytest.raises(CannotOverwriteExistingCassetteException):
            await service.chat.complete(ChatRequest((Message("user", asked),), max_tokens=50))


def test_no_recording_holds_a_key() -> None:
    recordings = [file.read_text() for file in CASSETTES.glob("*.yaml")]
    assert len(recordings) == 5
    assert [text for text in recordings if KEY in text or "authorization" in text.lower()] == []
