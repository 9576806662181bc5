from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app.errors import MalformedAnswer
from app.llm.model import ChatModel
from app.llm.types import ChatRequest, StreamEvent


@dataclass(frozen=True, slots=True)
class OpenedStream:
    """A stream whose first event has arrived.

    Until then nobody has seen anything of it, so it may be tried again, or somewhere else;
    afterwards a second try would repeat what was said.
    """

    first: StreamEvent
    rest: AsyncGenerator[StreamEvent, None]


async def open_stream(model: ChatModel, request: ChatRequest) -> OpenedStream:
    events = model.stream(request)
    async for first in events:
        return OpenedStream(first, events)
    raise MalformedAnswer(f"{model.name} sent a stream without an event", provider=model.name)
