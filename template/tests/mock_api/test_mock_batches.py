"""The official SDKs against the mock's batches: files of requests, and lists of requests."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests import sdk

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.types.messages.batch_create_params import Request
    from openai import AsyncOpenAI
    from openai.types import Batch

QUESTIONS = [f"Question {number}?" for number in range(5)]
NEVER_MS = 3_600_000  # an item that no test waits for


def line(custom_id: str, question: str, *, model: str = "gpt-5-mini") -> dict[str, object]:
    body = {"model": model, "messages": [{"role": "user", "content": question}]}
    url = "/v1/chat/completions"
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def file(lines: Sequence[object]) -> tuple[str, bytes]:
    return "batch.jsonl", "\n".join(json.dumps(each) for each in lines).encode()


LINES = [line(f"id-{number}", question) for number, question in enumerate(QUESTIONS)]


def requests(questions: Sequence[str] = QUESTIONS) -> "list[Request]":
    return [
        {
            "custom_id": f"id-{number}",
            "params": {
                "model": "claude-haiku-4-5",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": question}],
            },
        }
        for number, question in enumerate(questions)
    ]


@pytest.fixture(autouse=True)
def pace(control: httpx2.Client) -> httpx2.Client:
    set_pace(control, item_ms=0)
    return control


def set_pace(control: httpx2.Client, **pace: object) -> None:
    control.put("/batches", json=pace).raise_for_status()


async def created(openai: "AsyncOpenAI", lines: Sequence[object] = LINES) -> "Batch":
    uploaded = await openai.files.create(file=file(lines), purpose="batch")
    return await openai.batches.create(
        input_file_id=uploaded.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"key": "k"},
    )


async def results(openai: "AsyncOpenAI", name: str | None) -> list[dict[str, Any]]:
    assert name is not None
    content = await openai.files.content(name)
    return [json.loads(each) for each in content.text.splitlines()]


async def test_a_file_of_questions_becomes_a_file_of_answers(openai: "AsyncOpenAI") -> None:
    batch = await created(openai)
    assert batch.status == "validating"
    done = await openai.batches.retrieve(batch.id)
    assert (done.status, done.error_file_id) == ("completed", None)
    assert done.metadata == {"key": "k"}
    assert done.request_counts is not None
    assert done.request_counts.completed == len(QUESTIONS)
    lines = await results(openai, done.output_file_id)
    ids = [each["custom_id"] for each in lines]
    assert sorted(map(str, ids)) == [f"id-{number}" for number in range(5)]
    assert ids != [f"id-{number}" for number in range(5)]  # in any order
    assert all(each["response"]["status_code"] == 200 for each in lines)
    assert 'You said: \\"Question 3?' in json.dumps(lines)


async def test_an_answer_in_a_batch_is_that_of_a_call(openai: "AsyncOpenAI") -> None:
    batch = await openai.batches.retrieve((await created(openai, LINES[:1])).id)
    [only] = await results(openai, batch.output_file_id)
    whole = await openai.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": QUESTIONS[0]}]
    )
    own = {"id": whole.id}
    assert {**json.loads(json.dumps(only["response"]["body"])), **own} == whole.model_dump(
        exclude_unset=True
    )


async def test_a_refused_request_is_in_the_file_of_errors(openai: "AsyncOpenAI") -> None:
    bad = line("bad", "Question?")
    bad["body"] = {"model": "gpt-5-mini", "messages": []}
    batch = await openai.batches.retrieve((await created(openai, [*LINES, bad])).id)
    [error] = await results(openai, batch.error_file_id)
    assert error["custom_id"] == "bad"
    assert error["response"]["status_code"] == 400


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        pytest.param([*LINES, LINES[0]], "duplicate_custom_id", id="twice"),
        pytest.param([*LINES, line("x", "?", model="gpt-4o")], "mismatched_model", id="models"),
        pytest.param([{**LINES[0], "url": "/v1/embeddings"}], "mismatched_endpoint", id="endpoint"),
        pytest.param([{"custom_id": "x"}], "missing_required_parameter", id="no-body"),
        pytest.param([], "empty_file", id="empty"),
    ],
)
async def test_a_bad_file_makes_the_batch_fail(
    openai: "AsyncOpenAI", lines: Sequence[object], code: str
) -> None:
    batch = await openai.batches.retrieve((await created(openai, lines)).id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [error.code for error in batch.errors.data] == [code]


async def test_a_batch_of_embeddings_has_vectors(openai: "AsyncOpenAI") -> None:
    body = {"model": "text-embedding-3-small", "input": "A text"}
    asked = {"custom_id": "x", "method": "POST", "url": "/v1/embeddings", "body": body}
    uploaded = await openai.files.create(file=file([asked]), purpose="batch")
    batch = await openai.batches.create(
        input_file_id=uploaded.id, endpoint="/v1/embeddings", completion_window="24h"
    )
    done = await openai.batches.retrieve(batch.id)
    [only] = await results(openai, done.output_file_id)
    assert '"embedding": [' in json.dumps(only)


async def test_batches_are_listed_the_newest_first(openai: "AsyncOpenAI") -> None:
    first, second = await created(openai), await created(openai)
    assert first.id != second.id
    page = await openai.batches.list(limit=1)
    assert [batch.id for batch in page.data] == [second.id]
    assert page.has_more
    after = await openai.batches.list(limit=1, after=second.id)
    assert [batch.id for batch in after.data] == [first.id]


async def test_a_running_batch_can_be_cancelled(openai: "AsyncOpenAI", pace: httpx2.Client) -> None:
    set_pace(pace, item_ms=NEVER_MS)
    batch = await created(openai)
    assert (await openai.batches.retrieve(batch.id)).status == "in_progress"
    assert (await openai.batches.cancel(batch.id)).status == "cancelling"


async def test_an_expired_batch_has_the_answers_so_far(
    openai: "AsyncOpenAI", pace: httpx2.Client
) -> None:
    set_pace(pace, item_ms=0, expire_after_items=2)
    batch = await openai.batches.retrieve((await created(openai)).id)
    assert batch.status == "expired"
    assert len(await results(openai, batch.output_file_id)) == 2
    errors = await results(openai, batch.error_file_id)
    assert [each["error"]["code"] for each in errors] == ["batch_expired"] * 3


async def test_a_file_can_be_deleted(openai: "AsyncOpenAI") -> None:
    uploaded = await openai.files.create(file=file(LINES), purpose="batch")
    assert (await openai.files.retrieve(uploaded.id)).bytes == len(file(LINES)[1])
    assert (await openai.files.delete(uploaded.id)).deleted
    with pytest.raises(sdk.openai.NotFoundError):
        await openai.files.content(uploaded.id)


async def test_anthropics_batch_has_a_result_for_each_request(
    anthropic: "AsyncAnthropic",
) -> None:
    batch = await anthropic.messages.batches.create(requests=requests())
    ended = await anthropic.messages.batches.retrieve(batch.id)
    assert ended.processing_status == "ended"
    assert ended.request_counts.succeeded == len(QUESTIONS)
    lines = [each async for each in await anthropic.messages.batches.results(batch.id)]
    assert sorted(each.custom_id for each in lines) == [f"id-{number}" for number in range(5)]
    assert {each.result.type for each in lines} == {"succeeded"}
    succeeded = next(each.result for each in lines if each.custom_id == "id-3")
    assert succeeded.type == "succeeded"
    assert succeeded.message.usage.service_tier == "batch"


async def test_a_running_batch_of_anthropic_has_no_results(
    anthropic: "AsyncAnthropic", pace: httpx2.Client
) -> None:
    set_pace(pace, item_ms=NEVER_MS)
    batch = await anthropic.messages.batches.create(requests=requests())
    assert batch.processing_status == "in_progress"
    assert batch.request_counts.processing == len(QUESTIONS)
    assert batch.results_url is None
    cancelled = await anthropic.messages.batches.cancel(batch.id)
    assert cancelled.processing_status == "canceling"


async def test_results_of_anthropic_have_four_kinds(
    anthropic: "AsyncAnthropic", pace: httpx2.Client
) -> None:
    fault = {"path": "/v1/messages/batches/items", "status": 529, "times": 1}
    pace.put("/faults", json=fault).raise_for_status()
    set_pace(pace, item_ms=0, expire_after_items=3)
    batch = await anthropic.messages.batches.create(requests=requests())
    counts = (await anthropic.messages.batches.retrieve(batch.id)).request_counts
    assert (counts.errored, counts.succeeded, counts.expired) == (1, 2, 2)
    lines = [each async for each in await anthropic.messages.batches.results(batch.id)]
    errors = [each.result.error for each in lines if each.result.type == "errored"]
    assert [error.error.type for error in errors] == ["overloaded_error"]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        pytest.param([], "requests", id="none"),
        pytest.param(requests() + requests(), "requests", id="twice"),
        pytest.param([{**requests()[0], "custom_id": "a.b"}], "custom_id", id="characters"),
    ],
)
async def test_bad_requests_of_anthropic_are_refused_at_once(
    anthropic: "AsyncAnthropic", bad: "list[Request]", field: str
) -> None:
    with pytest.raises(sdk.anthropic.BadRequestError, match=field):
        await anthropic.messages.batches.create(requests=bad)


async def test_faults_apply_to_the_calls_of_a_batch(
    anthropic: "AsyncAnthropic", openai: "AsyncOpenAI", pace: httpx2.Client
) -> None:
    pace.put("/faults", json={"status": 500}).raise_for_status()
    with pytest.raises(sdk.anthropic.InternalServerError):
        await anthropic.messages.batches.list()
    with pytest.raises(sdk.openai.InternalServerError):
        await openai.batches.list()


def test_a_bad_pace_is_refused(pace: httpx2.Client) -> None:
    refused = pace.put("/batches", json={"item_ms": -1})
    assert refused.status_code == 422
    assert refused.json()["error"]["fields"] == {
        "item_ms": "Input should be greater than or equal to 0"
    }
    assert pace.get("/batches").json() == {"item_ms": 0, "expire_after_items": None}
