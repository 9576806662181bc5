"""The work of an endpoint with `JSONRoute` ends when its caller disconnects."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.types import Message

from app.api.json_route import JSONRoute

# FastAPI's own handler serves the second one.
pytestmark = pytest.mark.parametrize("kind", ["application/json", "application/a+json"])


@dataclass
class Caller:
    """A caller that leaves when the test says so."""

    kind: str
    has_left: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[Message] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)

    async def call(self, work: Callable[[], Awaitable[str]], *, path: str = "/work") -> None:
        self.sent = [
            {"type": "http.request", "body": b'{"number"', "more_body": True},
            {"type": "http.request", "body": b": 7}"},
        ]
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", self.kind.encode())],
        }
        await _service(work)(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self.sent:
            return self.sent.pop(0)
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.received.append(message)

    @property
    def status(self) -> int:
        status: int = self.received[0]["status"]
        return status


class Body(BaseModel):
    number: int


def _service(work: Callable[[], Awaitable[str]]) -> FastAPI:
    router = APIRouter(route_class=JSONRoute)

    @router.post("/work")
    async def endpoint(body: Body) -> str:
        assert body.number == 7
        return await work()

    @router.post("/read")
    async def read(request: Request) -> dict[str, int]:
        await asyncio.sleep(0)
        body: dict[str, int] = await request.json()
        return body

    service = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    service.include_router(router)
    return service


@dataclass
class Work:
    """Work that ends with its error, or never; it closes what it holds when it is cancelled."""

    error: Exception | None = None
    error_of_closing: Exception | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    async def run(self) -> str:
        self.started.set()
        try:
            if self.error is not None:
                raise self.error
            await asyncio.Event().wait()
        finally:
            for _ in range(5):  # closing takes time
                await asyncio.sleep(0)
            self.is_closed = True
            if self.error_of_closing is not None:
                raise self.error_of_closing
        return "never"


async def answer() -> str:
    return "answer"


async def test_work_that_ends_gives_its_answer(kind: str) -> None:
    caller = Caller(kind)
    await caller.call(answer)
    assert caller.status == 200
    assert caller.received[1]["body"] == b'"answer"'


async def test_an_error_of_the_work_is_raised(kind: str) -> None:
    with pytest.raises(ValueError, match="wrong"):
        await Caller(kind).call(Work(error=ValueError("wrong")).run)


@pytest.mark.parametrize("error", [None, ValueError("while closing")], ids=str)
async def test_the_work_for_a_caller_that_leaves_is_closed(
    kind: str, error: Exception | None
) -> None:
    caller, work = Caller(kind), Work(error_of_closing=error)
    running = asyncio.create_task(caller.call(work.run))
    await work.started.wait()
    caller.has_left.set()
    await running
    assert caller.status == 499
    assert work.is_closed


@pytest.mark.parametrize("rounds", [None, 0, 1, 2, 3], ids="left {} rounds before".format)
async def test_a_cancelled_request_closes_its_work_and_stays_cancelled(
    kind: str, rounds: int | None
) -> None:
    caller, work = Caller(kind), Work()
    running = asyncio.create_task(caller.call(work.run))
    await work.started.wait()
    if rounds is not None:
        caller.has_left.set()
        for _ in range(rounds):  # of the event loop
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.is_closed


async def test_nothing_waits_for_the_caller_after_the_answer(kind: str) -> None:
    await Caller(kind).call(answer)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_endpoint_that_reads_the_body_itself_gets_all_of_it(kind: str) -> None:
    caller = Caller(kind)
    await caller.call(answer, path="/read")
    assert caller.received[1]["body"] == b'{"number":7}'
