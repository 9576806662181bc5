"""All requests together hold a bounded number of bytes, and give them back however they end."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from app.errors import ProviderUnavailableError
from app.llm.types import EmbeddingRequest, Embeddings
from app.testing import FakeChatModel
from tests.running_service import QUESTION, RunningService, opened

_BUDGET = 32 * 1024 * 1024
_JSON = {"Content-Type": "application/json"}
# Two of these fit: each byte counts eight times.
LARGE = json.dumps(
    {"messages": [{"role": "user", "content": "a"}], "junk": "j" * 1_800_000}
).encode()


class Gate(FakeChatModel):
    """A model that answers, and embeds, when it may."""

    def __init__(self, *turns: str | Exception) -> None:
        self.may_answer = asyncio.Event()
        self.embedded = 0
        super().__init__(*[[self.may_answer.wait, turn] for turn in turns or ("Hello!",)])

    async def embed(self, request: EmbeddingRequest, /) -> Embeddings:
        self.embedded += 1
        await self.may_answer.wait()
        return await super().embed(request)


@asynccontextmanager
async def service_of(model: FakeChatModel) -> AsyncIterator[RunningService]:
    async with opened(model, max_bytes_in_flight=_BUDGET) as service:
        yield service


async def bytes_in_flight(service: RunningService) -> float:
    text = (await service.http.get("/metrics")).text
    line = next(line for line in text.splitlines() if line.startswith("http_bytes_in_flight "))
    return float(line.split()[1])


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


def large(text: str) -> bytes:
    """A valid body of 1.8 MB. Two of them fit, because each byte counts eight times."""
    messages = [{"role": "user", "content": text + "x" * 99_000} for _ in range(18)]
    return json.dumps({"messages": messages}).encode()


async def test_bodies_beyond_the_budget_get_503_and_small_requests_still_pass() -> None:
    model = Gate()
    async with service_of(model) as service:
        asked = [
            asyncio.create_task(
                service.http.post("/v1/chat", content=large(str(number)), headers=_JSON)
            )
            for number in range(6)
        ]
        await until(lambda: len(model.requests) + sum(one.done() for one in asked) == 6)
        refused = [one.result() for one in asked if one.done()]
        assert len(refused) == 4
        for answer in refused:
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
        assert await bytes_in_flight(service) <= _BUDGET
        small = asyncio.create_task(service.ask())
        model.may_answer.set()
        assert (await small).status_code == 200
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [200] * 2 + [503] * 4
        assert await bytes_in_flight(service) == 0
        assert "http_bytes_refusals_total 4.0" in (await service.http.get("/metrics")).text


async def test_a_body_without_a_content_length_is_refused_when_its_bytes_are_not_free() -> None:
    model = Gate()

    async def chunks() -> AsyncIterator[bytes]:
        body = large("chunked")
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    async with service_of(model) as service:
        first = [
            asyncio.create_task(service.http.post("/v1/chat", content=large(name), headers=_JSON))
            for name in ("one", "two")
        ]
        await until(lambda: len(model.requests) == 2)
        answer = await service.http.post("/v1/chat", content=chunks(), headers=_JSON)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        model.may_answer.set()
        assert {one.status_code for one in await asyncio.gather(*first)} == {200}
        assert await bytes_in_flight(service) == 0


async def test_a_body_with_a_content_length_is_not_read_when_its_bytes_are_not_free() -> None:
    model, body, read = Gate(), large("announced"), []

    async def chunks() -> AsyncIterator[bytes]:
        read.append(True)
        yield body

    async with service_of(model) as service:
        first = [
            asyncio.create_task(service.http.post("/v1/chat", content=large(name), headers=_JSON))
            for name in ("one", "two")
        ]
        await until(lambda: len(model.requests) == 2)
        headers = {**_JSON, "Content-Length": str(len(body))}
        answer = await service.http.post("/v1/chat", content=chunks(), headers=headers)
        assert (answer.status_code, answer.headers["retry-after"], read) == (503, "1", [])
        model.may_answer.set()
        assert {one.status_code for one in await asyncio.gather(*first)} == {200}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(json.dumps(QUESTION).encode(), 502, id="an error of the provider"),
        pytest.param(b'{"messages": 1}', 422, id="an invalid body"),
        pytest.param(b"{", 422, id="no JSON"),
        pytest.param(b" " * 3_000_000, 413, id="a body that is too large"),
    ],
)
async def test_a_request_that_fails_gives_its_bytes_back(body: bytes, status: int) -> None:
    model = FakeChatModel(ProviderUnavailableError("away", provider="fake"))
    async with service_of(model) as service:
        answer = await service.http.post("/v1/chat", content=body, headers=_JSON)
        assert answer.status_code == status
        assert await bytes_in_flight(service) == 0


async def test_a_cancelled_request_gives_its_bytes_back() -> None:
    model = Gate()
    async with service_of(model) as service:
        asked = asyncio.create_task(service.ask())
        await until(lambda: model.requests)
        assert await bytes_in_flight(service) > 0
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert await bytes_in_flight(service) == 0


async def test_a_stream_holds_its_bytes_until_its_end() -> None:
    model = Gate("Hello!")
    async with service_of(model) as service:
        asked = asyncio.create_task(service.ask(stream=True))
        await until(lambda: model.requests)
        assert await bytes_in_flight(service) > 0
        model.may_answer.set()
        assert (await asked).status_code == 200
        assert await bytes_in_flight(service) == 0


@pytest.mark.parametrize(
    ("path", "field"), [("/v1/embeddings", "texts"), ("/openai/v1/embeddings", "input")]
)
async def test_a_batch_with_too_many_vectors_is_refused_before_a_provider_is_called(
    path: str, field: str
) -> None:
    model = Gate()
    batch = {field: [f"text {number}" for number in range(2_000)], "model": "auto"}
    if field == "texts":
        del batch["model"]
    async with service_of(model) as service:

        async def embedded() -> httpx2.Response:
            return await service.http.post(path, json=batch)

        first = asyncio.create_task(embedded())
        await until(lambda: model.embedded)
        refused = await embedded()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        model.may_answer.set()
        await first
        assert await bytes_in_flight(service) == 0
        assert (await embedded()).status_code == 200
