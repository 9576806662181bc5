"""Callers that disconnect before their answer: their calls end, and cost no more."""

import asyncio

import pytest

from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import QUESTION, listening, service_with


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/chat", QUESTION, id="chat"),
        pytest.param("/v1/extract", {"text": "An invoice"}, id="extract"),  # feature: extract
        pytest.param("/v1/ask", {"question": "How do I add a provider?"}, id="ask"),  # feature: ask
    ],
)
async def test_a_callers_disconnect_cancels_the_call(
    path: str, body: dict[str, object], logs: CapturedLogs
) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def hangs() -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with listening(service_with(FakeChatModel([hangs]))) as http, asyncio.timeout(10):
        asking = asyncio.create_task(http.post(path, json=body))
        await asked.wait()
        asking.cancel()
        await ended.wait()
    (line,) = logs.events("http.request")
    assert line["status"] == 499
