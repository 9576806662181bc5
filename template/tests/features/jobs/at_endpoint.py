"""Creates jobs at the endpoint, and waits for their end."""

import asyncio
from typing import Any

from tests.running_service import RunningService

QUESTIONS = [{"messages": [{"role": "user", "content": f"Question {n}"}]} for n in range(3)]


async def created(
    service: RunningService, kind: str, items: list[Any], mode: str = "direct", **headers: str
) -> str:
    body = {"kind": kind, "mode": mode, "items": items}
    response = await service.http.post("/v1/jobs", json=body, headers=headers)
    assert response.status_code == 202, response.text
    return str(response.headers["Location"])


async def at_the_end(service: RunningService, address: str, **headers: str) -> dict[str, Any]:
    while True:
        response = await service.http.get(address, headers=headers)
        job: dict[str, Any] = response.json()
        if job["state"] in {"completed", "cancelled"}:
            return job
        await asyncio.sleep(0.01)
