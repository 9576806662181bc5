"""Chunks that wait for a slow caller are sent together; a caller that keeps up gets each at once."""

import asyncio
from dataclasses import dataclass, field

import orjson
import pytest
from starlette.types import Message

from app.api.event_stream import MAX_WRITE_BYTES
from app.llm.guards.deduplicated import Deduplicated
from app.llm.guards.guard import stacked
from app.testing import FakeChatModel
from tests.running_service import STREAMED, service_with

PIECES = [f"piece {number} " for number in range(200)]
_OPENAI = {"messages": STREAMED["messages"], "model": "fake-1", "stream": True}
ENDPOINTS = pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat", STREAMED), ("/openai/v1/chat/completions", _OPENAI)],
    ids=["chat", "openai"],
)


@dataclass
class Caller:
    """A caller that reads nothing after its first event until `reads` is set."""

    reads: asyncio.Event = field(default_factory=asyncio.Event)
    has_first: asyncio.Event = field(default_factory=asyncio.Event)
    writes: list[bytes] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        if body := message.get("body"):
            self.writes.append(body)
            self.has_first.set()
            await self.reads.wait()

    async def ask(self, model: FakeChatModel, path: str, body: object) -> None:
        content = orjson.dumps(body)
        messages: list[Message] = [{"type": "http.request", "body": content}]

        async def receive() -> Message:
            if not messages:
                await asyncio.Event().wait()  # the caller stays
            return messages.pop()

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        app = service_with(stacked(model, [Deduplicated()]))
        async with app.router.lifespan_context(app):
            await app(scope, receive, self.send)


@ENDPOINTS
async def test_chunks_that_wait_for_the_caller_are_sent_together(path: str, body: object) -> None:
    all_sent = asyncio.Event()

    async def sent() -> None:
        all_sent.set()

    go_on, caller = asyncio.Event(), Caller()
    model = FakeChatModel([PIECES[0], go_on.wait, *PIECES[1:], sent])
    async with asyncio.timeout(30):
        asking = asyncio.create_task(caller.ask(model, path, body))
        await caller.has_first.wait()
        go_on.set()
        await all_sent.wait()
        caller.reads.set()
        await asking
    events = b"".join(caller.writes).split(b"\n\n")
    assert [piece for piece in PIECES if sum(piece.encode() in event for event in events) < 1] == []
    assert len(events) > len(PIECES)
    assert len(caller.writes) < len(PIECES) / 4
    assert max(map(len, caller.writes)) < 2 * MAX_WRITE_BYTES
    assert all(write.endswith(b"\n\n") for write in caller.writes)


@ENDPOINTS
async def test_a_caller_that_keeps_up_gets_each_chunk_at_once(path: str, body: object) -> None:
    caller = Caller()
    caller.reads.set()

    async def received() -> None:
        await caller.has_first.wait()
        caller.has_first.clear()

    turn = [step for piece in PIECES[:20] for step in (piece, received)]
    async with asyncio.timeout(30):
        await caller.ask(FakeChatModel(turn), path, body)
    assert len(caller.writes) >= 20
