"""The batches of both providers: against the mock API on a real socket, and line by line."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx2 as httpx
import pytest

from app.errors import LLMError
from app.llm.batch import BatchAPI, BatchEntry, Outcome
from app.llm.batch_polling import BatchPolicy
from app.llm.batch_store import MemoryBatchStore
from app.llm.batches import Batches
from app.llm.http import Connections, HTTPPolicy, open_connections
from app.llm.price_files import current_prices
from app.llm.types import AnswerSchema, ChatRequest, LLMResponse
from app.network import ssl_context
from mock_api.testing import running_server
from tests.llm.batch_languages import LANGUAGES, OPENAI, Language, question

POLICY = BatchPolicy(first_pause_s=0.01, max_pause_s=0.05, deadline_s=60)
NEVER_MS = 3_600_000


QUESTIONS = {f"id {number}": question(f"Number {number}, “ß”?") for number in range(12)}


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.fixture
async def mock(mock_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"{mock_url}/_mock", trust_env=False, verify=ssl_context()
    ) as client:
        await client.delete("/requests")
        yield client
        await client.delete("/faults")
        await client.delete("/batches")


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    async with open_connections(HTTPPolicy(request_timeout_s=60)) as opened:
        yield opened


async def answers(
    api: BatchAPI, asked: dict[str, ChatRequest], store: MemoryBatchStore | None = None
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    batches = Batches(api, store or MemoryBatchStore(), policy=POLICY, prices=current_prices())
    await batches.run(asked, outcomes.update)
    return outcomes


def root_of(mock: httpx.AsyncClient) -> str:
    return str(mock.base_url).partition("/_mock")[0]


async def created(mock: httpx.AsyncClient, language: Language) -> int:
    """How many batches the mock API has created."""
    listed = (await mock.get("/requests", params={"path": language.path})).json()
    return sum(each["method"] == "POST" and each["path"] == language.path for each in listed)


@LANGUAGES
async def test_each_question_gets_its_answer_at_half_the_price(
    language: Language, mock_url: str, mock: httpx.AsyncClient, connections: Connections
) -> None:
    outcomes = await answers(language.api(mock_url, connections), QUESTIONS)
    for name, asked in QUESTIONS.items():
        outcome = outcomes[name]
        assert isinstance(outcome, LLMResponse)
        assert asked.messages[-1].text in outcome.content
        assert (outcome.provider, outcome.model) == (language.name, language.model)
        standard = outcome.usage.model_copy(update={"service_tier": None})
        full_usd = current_prices().cost_usd(language.name, language.model, standard)
        assert full_usd is not None
        assert outcome.cost_usd == pytest.approx(full_usd / 2)
    assert await created(mock, language) == 1


@LANGUAGES
async def test_tools_and_schemas_are_asked_for_as_in_a_call(
    language: Language, mock_url: str, connections: Connections
) -> None:
    schema = AnswerSchema("n", {"type": "object", "properties": {"n": {"type": "integer"}}})
    outcomes = await answers(
        language.api(mock_url, connections), {"a": question("1?", answer_schema=schema)}
    )
    assert isinstance(outcomes["a"], LLMResponse)
    assert isinstance(json.loads(outcomes["a"].content)["n"], int)


FAULTS = [
    pytest.param({"status": 529}, "ProviderUnavailableError", id="overloaded"),
    pytest.param({"status": 429}, "RateLimitError", id="rate"),
    pytest.param({"status": 400}, "RequestRefusedError", id="refused"),
    pytest.param({"malformed": True}, "MalformedAnswerError", id="half-a-line"),
]


@LANGUAGES
@pytest.mark.parametrize(("fault", "error"), FAULTS)
async def test_a_fault_of_one_request_is_its_own_error(
    language: Language,
    fault: dict[str, object],
    error: str,
    mock: httpx.AsyncClient,
    connections: Connections,
) -> None:
    path = f"{language.path}/items"
    (await mock.put("/faults", json={**fault, "path": path, "times": 1})).raise_for_status()
    outcomes = await answers(language.api(root_of(mock), connections), QUESTIONS)
    failed = [type(each).__name__ for each in outcomes.values() if isinstance(each, LLMError)]
    assert failed == [error]
    assert isinstance(outcomes["id 0"], LLMError)


@LANGUAGES
async def test_requests_of_an_expired_batch_can_be_sent_again(
    language: Language, mock_url: str, mock: httpx.AsyncClient, connections: Connections
) -> None:
    (await mock.put("/batches", json={"item_ms": 1, "expire_after_items": 10})).raise_for_status()
    store, api = MemoryBatchStore(), language.api(mock_url, connections)
    outcomes = await answers(api, QUESTIONS, store)
    expired = {name for name, each in outcomes.items() if isinstance(each, LLMError)}
    assert {str(outcomes[name]) for name in expired} == {
        f"{language.name} did not come to this request before its batch expired"
    }
    assert expired == {"id 10", "id 11"}
    await mock.delete("/batches")
    again = await answers(api, QUESTIONS, store)
    assert all(isinstance(each, LLMResponse) for each in again.values())
    assert await created(mock, language) == 2


BROKEN = [
    pytest.param({"status": 503}, id="unavailable"),
    pytest.param({"drop_after_chunks": 0}, id="lost-answer"),
]


@LANGUAGES
@pytest.mark.parametrize("fault", BROKEN)
async def test_a_batch_is_created_once_after_a_failed_creation(
    language: Language,
    fault: dict[str, object],
    mock_url: str,
    mock: httpx.AsyncClient,
    connections: Connections,
) -> None:
    """503: it was not created, and is sent again. The other answer is lost after it was created."""
    path = "/v1/batches" if language is OPENAI else language.path
    (await mock.put("/faults", json={**fault, "path": path, "times": 1})).raise_for_status()
    outcomes = await answers(language.api(mock_url, connections), QUESTIONS)
    assert all(isinstance(each, LLMResponse) for each in outcomes.values())
    was_created = "status" not in fault
    assert await created(mock, language) == (1 if was_created else 2)


@LANGUAGES
async def test_a_restart_continues_the_batch_of_the_last_process(
    language: Language, mock_url: str, mock: httpx.AsyncClient, connections: Connections
) -> None:
    store, api = MemoryBatchStore(), language.api(mock_url, connections)
    first = await answers(api, QUESTIONS, store)
    assert await answers(api, QUESTIONS, store) == first
    assert await created(mock, language) == 1


@LANGUAGES
async def test_a_lost_id_is_found_by_the_next_process(
    language: Language, mock_url: str, mock: httpx.AsyncClient, connections: Connections
) -> None:
    store, api = MemoryBatchStore(), language.api(mock_url, connections)
    first = await answers(api, QUESTIONS, store)
    foreign = MemoryBatchStore()
    await answers(api, {"another": question("?")}, foreign)  # newer, and not ours
    [submission], [other] = store.load(), foreign.load()
    store.save(submission.model_copy(update={"batch_id": None}))
    await mock.delete("/requests")
    assert await answers(api, QUESTIONS, store) == first
    assert await created(mock, language) == 0
    listed = (await mock.get("/requests")).json()
    assert not [each for each in listed if f"{other.batch_id}" in each["path"]]


@LANGUAGES
async def test_a_cancelled_batch_ends_without_answers(
    language: Language, mock_url: str, mock: httpx.AsyncClient, connections: Connections
) -> None:
    (await mock.put("/batches", json={"item_ms": NEVER_MS})).raise_for_status()
    api = language.api(mock_url, connections)
    encoded = api.encode(QUESTIONS["id 0"])
    batch_id = await api.submit("k", [BatchEntry("k-0", encoded.body)])
    status = await api.status(batch_id)
    assert (status.ended, status.finished, status.total) == (False, 0, 1)
    await api.cancel(batch_id)
    assert not (await api.status(batch_id)).ended  # it is cancelling


@LANGUAGES
async def test_a_bad_key_fails_every_request(
    language: Language, mock_url: str, connections: Connections
) -> None:
    outcomes = await answers(language.api(mock_url, connections, "invalid"), QUESTIONS)
    assert {type(each).__name__ for each in outcomes.values()} == {"AuthenticationError"}


async def test_a_bad_file_fails_every_request_with_the_providers_words(
    mock_url: str, connections: Connections
) -> None:
    api = OPENAI.api(mock_url, connections)
    batch_id = await api.submit("k", [BatchEntry("k-0", b"[]")])
    failure = (await api.status(batch_id)).failure
    assert failure is not None
    assert (
        failure.message
        == "openai answered 400: Invalid 'body': Input should be a valid dictionary."
    )
