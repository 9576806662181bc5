import asyncio

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware.requests import Requests
from app.telemetry.metrics import Metrics
from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import RunningService, opened


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/chat", 405), ("GET", "/healthz/", 404)],
    ids=["no such path", "no such method", "a slash too many"],
)
async def test_an_unknown_path_is_a_problem(
    service: RunningService, method: str, path: str, status: int
) -> None:
    answer = await service.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]


async def test_a_wrong_method_is_a_405_with_the_allowed_methods(service: RunningService) -> None:
    assert (await service.http.get("/v1/chat")).headers["allow"] == "POST"


async def test_an_unexpected_error_shows_no_details_to_the_caller() -> None:
    async with opened(FakeChatModel(ValueError("confidential"))) as service:
        answer = await service.ask()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "confidential" not in answer.text
    assert "ValueError" not in answer.text


async def test_debug_mode_shows_the_cause_of_a_500() -> None:
    async with opened(FakeChatModel(ValueError("boom")), debug_mode=True) as service:
        answer = await service.ask()
    assert answer.json()["debug"] == "ValueError: boom"


async def test_an_unexpected_error_is_logged_once_with_its_traceback_and_no_variables(
    logs: CapturedLogs,
) -> None:
    confidential = "the prompt"
    async with opened(FakeChatModel(ValueError("boom"))) as service:
        answer = await service.ask(messages=[{"role": "user", "content": confidential}])
    (line,) = [line for line in logs.lines if "exception" in line]
    assert line["event"] == "http.failed"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert line["exception"][0]["frames"][-1]["name"] == "_pieces"
    assert confidential not in logs.text


async def test_a_request_cut_off_by_a_shutdown_gets_a_503() -> None:
    async def hanging(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    async def nothing() -> Message:
        return {"type": "http.request"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    running = asyncio.create_task(Requests(hanging, metrics=Metrics())(scope, nothing, send))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    start, body = sent
    assert start["status"] == orjson.loads(body["body"])["status"] == 503
