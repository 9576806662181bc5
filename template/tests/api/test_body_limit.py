import json
from collections.abc import AsyncIterator

import httpx2

from app.api.middleware.body_limit import MAX_BODY_BYTES
from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import RunningService, listening, service_with

_JSON = {"Content-Type": "application/json"}


async def test_a_body_with_a_content_length_above_the_limit_is_not_read(
    service: RunningService,
) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b" "

    headers = {**_JSON, "Content-Length": str(MAX_BODY_BYTES + 1)}
    request = service.http.build_request("POST", "/v1/chat", content=body(), headers=headers)
    _is_refused(await service.http.send(request))


async def test_a_body_without_a_content_length_is_read_up_to_the_limit(
    logs: CapturedLogs,
) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 10 * MAX_BODY_BYTES:
            read += 65_536
            yield b" " * 65_536

    async with listening(service_with(FakeChatModel())) as client:
        _is_refused(await client.post("/v1/chat", content=endless(), headers=_JSON))
    assert logs.events("http.failed") == []


async def test_the_longest_allowed_message_fits_however_it_is_escaped(
    service: RunningService,
) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": "🙂" * 100_000}]})
    assert "\\ud83d" in body
    answer = await service.http.post("/v1/chat", content=body, headers=_JSON)
    assert answer.status_code == 200


def _is_refused(answer: httpx2.Response) -> None:
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
