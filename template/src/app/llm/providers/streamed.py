"""What all streamed answers have in common, whichever grammar they are written in.

How a stream may end, and what the caller gets:
- its terminal event: `Done` with the whole answer;
- a polite close, or a lost connection, before that: `StreamInterrupted` with the text so far.
  Without any text yet, a lost connection stays what it is: nothing was interrupted;
- silence: `TimedOut`. Whoever listens has the text already, and should know that it was silence.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Protocol

from app.errors import ConnectionFailed, LLMError, StreamInterrupted
from app.llm.types import Done, LLMResponse, StreamEvent, TextDelta
from app.streaming.sse import ServerSentEvent

_DRAIN_S = 0.1


class StreamedAnswer(Protocol):
    """An answer that is being received. No I/O."""

    @property
    def provider(self) -> str: ...

    @property
    def text(self) -> str:
        """What has arrived so far."""
        ...

    def feed(self, event: ServerSentEvent) -> str:
        """The text that this event adds: often none. Raises what the provider reports."""
        ...

    def response(self) -> LLMResponse | None:
        """The whole answer, once the terminal event has been seen."""
        ...


async def read(
    answer: StreamedAnswer, events: AsyncGenerator[ServerSentEvent, None]
) -> AsyncGenerator[StreamEvent, None]:
    async with aclosing(events):
        try:
            async for event in events:
                if text := answer.feed(event):
                    yield TextDelta(text)
                if response := answer.response():
                    await drain(events)
                    yield Done(response)
                    return
        except ConnectionFailed as failure:
            if not answer.text:
                raise
            raise _interrupted(answer) from failure
    raise _interrupted(answer)


async def drain(events: AsyncGenerator[object, None], within_s: float = _DRAIN_S) -> None:
    """Read what little comes behind the end, which is usually there already.

    Only a connection that was read to its end can be used again; a new one costs a TLS handshake.
    """
    with suppress(LLMError, TimeoutError):
        async with asyncio.timeout(within_s):
            async for _ in events:
                pass


def _interrupted(answer: StreamedAnswer) -> StreamInterrupted:
    return StreamInterrupted(
        f"{answer.provider} ended its answer in the middle",
        text=answer.text,
        provider=answer.provider,
    )
