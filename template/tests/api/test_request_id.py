import asyncio
import logging

import pytest
import structlog

from app.llm.types import ChatRequest, LLMResponse
from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import QUESTION, RunningService, opened


@pytest.mark.parametrize(
    "path", ["/healthz", "/nowhere", "/v1/chat"], ids=["an answer", "a 404", "a 405"]
)
async def test_every_answer_carries_an_id(service: RunningService, path: str) -> None:
    first, second = await service.http.get(path), await service.http.get(path)
    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_the_callers_id_is_kept(service: RunningService) -> None:
    answer = await service.http.get("/healthz", headers={"X-Request-ID": "checkout-42"})
    assert answer.headers.get_list("x-request-id") == ["checkout-42"]


async def test_the_callers_id_is_kept_when_the_service_fails() -> None:
    async with opened(FakeChatModel(ValueError("boom"))) as service:
        service.http.headers["X-Request-ID"] = "checkout-42"
        answer = await service.ask()
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "checkout-42"


@pytest.mark.parametrize("value", ["x" * 129, "a b", 'a"b', "{}", "é", ""], ids=repr)
async def test_an_unsafe_id_is_replaced(service: RunningService, value: str) -> None:
    answer = await service.http.get("/healthz", headers=[(b"X-Request-ID", value.encode())])
    assert len(answer.headers["x-request-id"]) == 32


class Talkative(FakeChatModel):
    """Logs as a dependency would: through structlog, the standard library, and from a task."""

    async def complete(self, request: ChatRequest) -> LLMResponse:
        structlog.get_logger("ours").info("from.structlog")
        logging.getLogger("theirs").warning("from the standard library")
        await asyncio.create_task(self._from_a_task())
        return await super().complete(request)

    async def _from_a_task(self) -> None:
        structlog.get_logger("ours").info("from.task")


async def test_every_line_of_a_request_carries_its_id(logs: CapturedLogs) -> None:
    async with opened(Talkative()) as service:
        ids = [f"request-{number}" for number in range(20)]
        await asyncio.gather(*(_ask(service, name) for name in ids))
    for name in ids:
        events = [line["event"] for line in logs.lines if line.get("request_id") == name]
        assert events == [
            "from.structlog",
            "from the standard library",
            "from.task",
            "http.request",
        ]


async def test_lines_outside_of_a_request_have_no_id(
    service: RunningService, logs: CapturedLogs
) -> None:
    await service.ask()
    structlog.get_logger("ours").info("outside")
    assert "request_id" not in logs.events("outside")[0]


async def _ask(service: RunningService, name: str) -> None:
    await service.http.post("/v1/chat", json=QUESTION, headers={"X-Request-ID": name})
