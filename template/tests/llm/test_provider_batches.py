"""The batches of both providers: against the mock API on a real socket, and line by line."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import SecretStr

from app.errors import LLMError, MalformedAnswerError
from app.llm.batch import BatchAPI, BatchEntry, BatchResult, BatchStatus, Outcome
from app.llm.batch_polling import BatchPolicy
from app.llm.batch_store import MemoryBatchStore
from app.llm.batches import Batches
from app.llm.http import Connections, HTTPPolicy, open_connections
from app.llm.prices import PriceList
from app.llm.providers.anthropic.batch import AnthropicBatches
from app.llm.providers.openai.batch import OpenAIBatches
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.registry import APIS
from app.llm.types import AnswerSchema, ChatRequest, LLMResponse, Message
from app.tls import ssl_context
from mock_api.testing import running_server

POLICY = BatchPolicy(first_pause_s=0.01, max_pause_s=0.05, deadline_s=60)
NEVER_MS = 3_600_000


@dataclass(frozen=True)
class Language:
    make: Callable[[ProviderPolicy, Connections], BatchAPI]
    name: str
    model: str
    root: str  # in the mock API
    path: str  # of its batches

    def api(self, url: str, connections: Connections, key: str = "sk-1234") -> BatchAPI:
        facts, name = APIS[self.name].facts, self.name
        policy = ProviderPolicy(
            url + self.root, self.model, SecretStr(key), api=name, name=name, facts=facts
        )
        return self.make(policy, connections)


OPENAI = Language(OpenAIBatches, "openai", "gpt-5-mini", "/v1", "/v1/batches")
ANTHROPIC = Language(AnthropicBatches, "anthropic", "claude-haiku-4-5", "", "/v1/messages/batches")
LANGUAGES = pytest.mark.parametrize(
    "language", [OPENAI, ANTHROPIC], ids=lambda language: language.name
)


def question(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest((Message("system", "Be brief."), Message("user", text)), **fields)


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
    batches = Batches(api, store or MemoryBatchStore(), policy=POLICY, prices=PriceList.current())
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
        full_usd = PriceList.current().cost_usd(language.name, language.model, standard)
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


def replying(status: int, body: bytes) -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(status, content=body))


async def results_of(
    language: Language,
    body: bytes,
) -> list[BatchResult]:
    async with open_connections(HTTPPolicy(), replying(200, body)) as connections:
        results: AsyncGenerator[BatchResult, None] = language.api(
            "http://provider.test", connections
        ).results(ENDED)
        return [result async for result in results]


ENDED = BatchStatus("b", ended=True, files=("f",))


def openai_line(**fields: object) -> dict[str, object]:
    return {"custom_id": "k-0", "response": None, "error": None, **fields}


def anthropic_line(**result: object) -> dict[str, object]:
    return {"custom_id": "k-0", "result": result}


NO_CHOICES = {"status_code": 200, "body": {"choices": []}}
LINES: list[Any] = [
    ("no-id", OPENAI, {"response": NO_CHOICES}, None, "custom_id: Field required"),
    ("number", OPENAI, openai_line(custom_id=7), None, "custom_id: "),
    ("empty", OPENAI, openai_line(), "k-0", "response: is missing"),
    ("no-choices", OPENAI, openai_line(response=NO_CHOICES), "k-0", "openai sent"),
    ("text", OPENAI, openai_line(response="x"), None, "response"),
    ("no-status", OPENAI, openai_line(response={"body": {}}), None, "status_code"),
    ("list", OPENAI, [1], None, "openai sent a malformed answer"),
    ("odd-error", OPENAI, openai_line(error={"code": "odd", "message": "Odd."}), "k-0", "Odd."),
    ("no-result", ANTHROPIC, {"custom_id": "k-0"}, None, "result: Field required"),
    ("no-type", ANTHROPIC, anthropic_line(), None, "result.type: Field required"),
    ("new-type", ANTHROPIC, anthropic_line(type="new"), "k-0", "result.type: is not known"),
    ("no-message", ANTHROPIC, anthropic_line(type="succeeded"), "k-0", "anthropic sent"),
    ("no-error", ANTHROPIC, anthropic_line(type="errored"), "k-0", "anthropic reported"),
]


@pytest.mark.parametrize(
    ("language", "line", "custom_id", "words"),
    [pytest.param(*case, id=f"{case[0].name}-{name}") for name, *case in LINES],
)
async def test_an_odd_line_is_one_error(
    language: Language, line: object, custom_id: str | None, words: str
) -> None:
    [result] = await results_of(language, json.dumps(line).encode())
    assert result.custom_id == custom_id
    assert isinstance(result.outcome, LLMError)
    assert words in result.outcome.message


@LANGUAGES
async def test_empty_lines_and_a_missing_last_line_end_are_no_results(language: Language) -> None:
    line = openai_line() if language is OPENAI else anthropic_line(type="expired")
    body = json.dumps(line).encode()
    assert len(await results_of(language, b"\r\n" + body + b"\n\n" + body)) == 2


@LANGUAGES
async def test_a_line_without_an_end_is_refused(language: Language) -> None:
    policy = HTTPPolicy(max_response_bytes=1000)
    async with open_connections(policy, replying(200, b"x" * 1001)) as connections:
        results = language.api("http://provider.test", connections).results(
            BatchStatus("b", ended=True, files=("f",))
        )
        with pytest.raises(MalformedAnswerError, match="a line of more than 1000 bytes"):
            await anext(results)


@LANGUAGES
@pytest.mark.parametrize("name", ["../models", "a/b", "", "a?b", "x" * 201, 7], ids=repr)
async def test_an_id_that_would_change_the_path_is_refused(
    language: Language, name: object
) -> None:
    batch = {"id": name, "status": "completed", "processing_status": "ended"}
    async with open_connections(HTTPPolicy(), replying(200, json.dumps(batch).encode())) as opened:
        with pytest.raises(MalformedAnswerError, match="id: "):
            await language.api("http://provider.test", opened).status("b")


async def test_a_query_of_the_address_goes_with_every_call() -> None:
    seen: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, json={"data": []})

    async with open_connections(HTTPPolicy(), httpx.MockTransport(reply)) as connections:
        policy = ProviderPolicy("http://provider.test/v1?api-version=1", "m")
        await OpenAIBatches(policy, connections).find("k", 1, datetime.now(UTC))
    assert seen == ["http://provider.test/v1/batches?limit=100&api-version=1"]
