import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from app.errors import (
    ContextTooLongError,
    LLMError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    RequestRefusedError,
)
from app.testing import CapturedLogs, FakeChatModel
from tests.llm.embedder import Embedder
from tests.running_service import RunningService, listening, opened, service_with


async def embed(service: RunningService, texts: object, **more: Any) -> httpx2.Response:
    return await service.http.post("/v1/embeddings", json={"texts": texts, **more})


async def test_each_text_is_answered_in_order(service: RunningService) -> None:
    answer = await embed(service, ["three", "a"])
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "model": "fake-1",
        "items": [
            {"index": 0, "embedding": [5.0, 1.0], "error": None},
            {"index": 1, "embedding": [1.0, 1.0], "error": None},
        ],
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "The text is empty", id="empty"),
        pytest.param(" \n\t", "The text is empty", id="blank"),
        pytest.param("x" * 32_769, "The text has more than 32768 characters", id="too long"),
        pytest.param("refused", "a text is too long for the model", id="refused by the provider"),
    ],
)
async def test_a_bad_text_among_good_ones_fails_alone(text: str, why: str) -> None:
    async with opened(Embedder(refuses={"refused"})) as service:
        answer = await embed(service, ["a", text, "bb"])
    assert answer.status_code == 200
    assert answer.json()["items"] == [
        {"index": 0, "embedding": [1.0, 1.0], "error": None},
        {"index": 1, "embedding": None, "error": why},
        {"index": 2, "embedding": [2.0, 1.0], "error": None},
    ]


async def test_a_text_that_is_known_to_be_invalid_is_not_sent() -> None:
    async with opened(model := Embedder()) as service:
        await embed(service, ["", "x" * 32_768, "y" * 32_769, "good"])
    assert model.calls == [("x" * 32_768, "good")]


async def test_texts_are_normalised_as_messages_are() -> None:
    async with opened(model := Embedder()) as service:
        await embed(service, [" a\r\nb ", "e\u0301"])
    assert model.calls == [("a\nb", "\u00e9")]


async def test_an_answer_of_many_writes_is_one_answer(service: RunningService) -> None:
    items = (await embed(service, ["x" * number for number in range(100)])).json()["items"]
    assert [item["index"] for item in items] == list(range(100))
    assert [item["embedding"] for item in items[1:]] == [[n, 1.0] for n in range(1, 100)]


async def test_only_bad_texts_are_a_bad_request(model: FakeChatModel) -> None:
    async with opened(model) as service:
        answer = await embed(service, ["", " "])
    assert answer.status_code == 422
    assert answer.json()["detail"] == "texts[0]: The text is empty; texts[1]: The text is empty"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(ProviderUnavailableError("broken"), 502, id="provider broken"),
        pytest.param(RequestRefusedError("too long"), 422, id="refused"),
        pytest.param(ContextTooLongError("too long"), 422, id="too long for the model"),
        pytest.param(RateLimitError("slow down"), 503, id="provider too busy"),
        pytest.param(ProviderTimeoutError("too slow"), 504, id="provider too slow"),
    ],
)
async def test_no_vector_at_all_is_no_success(error: LLMError, status: int) -> None:
    async with opened(Embedder(fails={"a": error, "b": error})) as service:
        answer = await embed(service, ["a", "", "b"])
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == error.message


async def test_a_callers_disconnect_cancels_all_calls(logs: CapturedLogs) -> None:
    model = Embedder(hangs=True)
    texts = [f"text {number}" for number in range(1000)]
    async with listening(service_with(model)) as client:
        asking = asyncio.create_task(client.post("/v1/embeddings", json={"texts": texts}))
        await _until(lambda: model.running == 4)
        asking.cancel()
        await _until(lambda: model.running == 0 and bool(logs.events("http.request")))
    assert len(model.calls) == 4
    assert logs.events("http.request")[0]["status"] == 499


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("texts", "where", "why"),
    [
        pytest.param([], ["texts"], "at least 1 item", id="none"),
        pytest.param(["x"] * 10_001, ["texts"], "at most 10000", id="too many"),
        pytest.param("text", ["texts"], "valid list", id="a text for a list"),
        pytest.param(["a", 7], ["texts", 1], "valid string", id="a number"),
        pytest.param([None], ["texts", 0], "valid string", id="null"),
        pytest.param([["a"]], ["texts", 0], "valid string", id="a list"),
    ],
)
async def test_a_body_without_a_list_of_texts_is_refused(
    service: RunningService, texts: object, where: list[str | int], why: str
) -> None:
    answer = await embed(service, texts)
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["errors"]] == [["body", *where]]
    assert why in answer.json()["detail"]


async def test_an_unknown_field_is_refused(service: RunningService) -> None:
    answer = await embed(service, ["a"], dimensions=7)
    assert answer.json()["detail"] == "dimensions: Extra inputs are not permitted"


async def test_the_answer_is_documented(service: RunningService) -> None:
    schemas = (await service.http.get("/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["EmbeddingsAnswer"]["properties"]) == {"model", "items"}
    assert set(schemas["EmbeddedText"]["properties"]) == {"index", "embedding", "error"}
