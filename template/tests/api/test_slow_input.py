"""No request holds the event loop: the longest step of the loop, over a corpus of slow bodies.

A step is measured in CPU time of the loop's thread, so that a busy machine does not fail the test.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from app.api.inputs import MAX_MARKS, has_too_many_marks, normalize_text
from app.api.middleware.body_limit import MAX_BODY_BYTES, MAX_JSON_VALUES, JSONValues
from app.testing import FakeChatModel
from scripts.chaos import slow_bodies
from scripts.chaos.slow_bodies import CHAT, MARKS, OTHERS
from tests.running_service import QUESTION, RunningService

MAX_STEP_S = 0.05
# A garbage collection, or a cache that another process has emptied, lengthens one run in a hundred.
# A slow input is slow in every run.
ATTEMPTS = 5

CORPUS = [
    *(pytest.param("/v1/chat", body, id=f"chat: {name}") for name, body in CHAT.items()),
    *(pytest.param(path, body, id=f"{path}: {name}") for (path, name), body in OTHERS.items()),
]


class Steps:
    """The CPU time of the loop's longest step so far."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            self.longest_s = max(self.longest_s, time.thread_time() - before)


@contextmanager
def watched() -> Iterator[Steps]:
    steps = Steps()
    task = asyncio.create_task(steps.watch())
    yield steps
    task.cancel()


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Send as a socket does."""
    for start in range(0, len(body), 65_536):
        await asyncio.sleep(0)
        yield body[start : start + 65_536]


@pytest.mark.parametrize(("path", "body"), CORPUS)
async def test_no_body_holds_the_loop(service: RunningService, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    longest_s: list[float] = []
    while len(longest_s) < ATTEMPTS and min(longest_s, default=1) >= MAX_STEP_S:
        with watched() as steps:
            answer = await service.http.post(path, content=in_pieces(body), headers=headers)
        assert answer.status_code in {200, 413, 422, 502, 503}
        longest_s.append(steps.longest_s)
    assert min(longest_s) < MAX_STEP_S


def test_the_bodies_are_as_long_as_the_service_allows() -> None:
    assert slow_bodies.MAX_BODY_BYTES == MAX_BODY_BYTES
    assert slow_bodies.MAX_MARKS == MAX_MARKS


async def test_a_step_that_is_too_long_would_be_noticed() -> None:
    with watched() as steps:
        await asyncio.sleep(0)
        end = time.thread_time() + 2 * MAX_STEP_S
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0)
    assert steps.longest_s > MAX_STEP_S


@pytest.mark.parametrize("before", ["", "e", "Zalgo " * 100], ids=["first", "second", "late"])
async def test_more_marks_in_a_row_than_unicode_allows_are_refused(
    service: RunningService, model: FakeChatModel, before: str
) -> None:
    for count, status in ((MAX_MARKS, 200), (MAX_MARKS + 1, 422)):
        text = before + "\u0301" * count + " after"
        answer = await service.ask(
            messages=[*QUESTION["messages"], {"role": "user", "content": text}]
        )
        assert answer.status_code == status
    (error,) = answer.json()["errors"]
    assert error["loc"] == ["body", "messages", 1, "content"]
    assert "30 combining marks" in answer.json()["detail"]
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/extract", "text"),  # feature: extract
        ("/v1/ask", "question"),  # feature: ask
        ("/v1/embeddings", None),
    ],
)
async def test_other_endpoints_refuse_too_many_marks(
    service: RunningService, path: str, field: str | None
) -> None:
    text = "x" + MARKS * MAX_MARKS
    body = {field: text} if field else {"texts": [text]}
    answer = await service.http.post(path, json=body)
    assert answer.status_code == 422
    assert "30 combining marks" in answer.json()["errors"][0]["msg"]


@pytest.mark.parametrize("offset", range(MAX_MARKS + 2))
def test_too_many_marks_are_found_at_every_place(offset: int) -> None:
    assert has_too_many_marks("x" * offset + "\u0316" * (MAX_MARKS + 1) + "x" * 40)
    assert not has_too_many_marks(f"{'x' * offset}{MARKS * 15}x{MARKS * 15}{'x' * 40}")


def test_texts_that_look_equal_are_equal() -> None:
    assert normalize_text("Cafe\u0301\r\n") == normalize_text("Caf\u00e9\n")


async def test_a_body_with_too_many_values_is_refused_with_the_number(
    service: RunningService,
) -> None:
    body = b"[" + b"0," * MAX_JSON_VALUES + b"0]"
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = await service.http.post("/v1/chat", content=body, headers=headers)
    assert answer.status_code == 422
    assert str(MAX_JSON_VALUES) in answer.json()["detail"]


async def test_values_are_counted_from_the_first_chunk(service: RunningService) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"["
        for _ in range(MAX_JSON_VALUES // 500 + 1):
            yield b"0," * 500
        yield b"0]"

    headers = {"Content-Type": "application/json"}
    answer = await service.http.post("/v1/chat", content=chunks(), headers=headers)
    assert answer.status_code == 422
    assert str(MAX_JSON_VALUES) in answer.json()["detail"]


async def test_a_body_in_utf_16_is_refused(service: RunningService) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await service.http.post(
        "/v1/chat", content=json.dumps(QUESTION).encode("utf-16"), headers=headers
    )
    assert answer.status_code == 422
    assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_values_are_counted_outside_of_strings_wherever_the_chunks_end(size: int) -> None:
    body = json.dumps([{"a,[{": '\\",[{\\\\', "b": ["\\", '"', ","]}, []]).encode()
    values, counted = JSONValues(), 0
    for start in range(0, len(body), size):
        counted = values.count(body[start : start + size])
    assert counted == 8  # brackets: [ { [ [ and the commas between


async def test_the_largest_allowed_batch_has_few_enough_values(service: RunningService) -> None:
    answer = await service.http.post("/v1/embeddings", json={"texts": ["", *["a,b[c{"] * 9_999]})
    assert answer.status_code == 200
