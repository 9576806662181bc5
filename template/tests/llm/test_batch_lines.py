"""The results of a batch, line by line, and the addresses of its calls."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest

from app.errors import LLMError, MalformedAnswerError
from app.llm.batch import BatchResult, BatchStatus
from app.llm.http import HTTPPolicy, open_connections
from app.llm.providers.openai.batch import OpenAIBatches
from app.llm.providers.policy import ProviderPolicy
from tests.llm.batch_languages import ANTHROPIC, LANGUAGES, OPENAI, Language

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


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
