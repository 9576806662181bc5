"""Callers who do not wait for their answer: what is called for them ends, and costs no more."""

import asyncio

import pytest

from app.testing import CapturedLogs, FakeChatModel
from tests.door import QUESTION, listening, service_with


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/chat", QUESTION, id="chat"),
        pytest.param("/v1/extract", {"text": "An invoice"}, id="extract"),
        pytest.param("/v1/ask", {"question": "How do I add a provider?"}, id="ask"),
    ],
)
async def test_who_leaves_takes_the_call_along(
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
