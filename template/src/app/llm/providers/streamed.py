"""What all streamed answers have in common, whichever grammar they are written in.

How a stream may end, and what the caller gets:
- its terminal event: `Done` with the whole answer;
- no terminal event, but the model's reason to stop was there: `Done` too. Many compatible servers
  close the connection instead, or lose it, and nothing of the answer is missing;
- a polite close, or a lost connection, before that: `StreamInterruptedError` with the text so far.
  Without any text yet, a lost connection stays what it is: nothing was interrupted;
- silence before that: `ProviderTimeoutError`, so that the caller knows that it was silence;
- an error of the provider: that error, with the text so far.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Protocol

from app.errors import (
    LLMError,
    ProviderConnectionError,
    ProviderTimeoutError,
    StreamInterruptedError,
)
from app.llm.costs import BrokenOff, Receipt
from app.llm.exchange import Exchange
from app.llm.types import Done, LLMResponse, StreamEvent, TextDelta, Usage
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

    @property
    def progress(self) -> int:
        """A count that grows with each event that carries text, tool arguments or thinking.

        Pings, role announcements and usage do not count: they show that the server is alive, not
        that the model is working.
        """
        ...

    def feed(self, event: ServerSentEvent) -> str:
        """The text that this event adds: often none. Raises what the provider reports."""
        ...

    def response(self, *, closed: bool = False) -> LLMResponse | None:
        """The whole answer, once the terminal event has been seen.

        `closed`: nothing more can come, so the model's reason to stop is enough.
        """
        ...

    def usage_so_far(self) -> tuple[Usage | None, bool]:
        """What the provider has reported, and whether that is all that the answer costs."""
        ...


async def read(
    answer: StreamedAnswer,
    events: AsyncGenerator[ServerSentEvent, None],
    exchange: Exchange,
    receipt: Receipt | None = None,
) -> AsyncGenerator[StreamEvent, None]:
    """Yield the answer as it arrives. `receipt` gets its cost when it breaks off or is abandoned."""
    try:
        async with aclosing(events):
            async for event in events:
                if text := answer.feed(event):
                    yield TextDelta(text)
                if response := answer.response():
                    await drain(events)
                    yield Done(exchange.signed(response))
                    return
        whole = answer.response(closed=True)
        if whole is None:
            raise _interrupted(answer)  # noqa: TRY301 - noted below, as any other end
    except BaseException as error:
        whole = _whole_despite(error, answer)
        if whole is None:
            if receipt is not None:
                receipt.broken_off = BrokenOff(*answer.usage_so_far(), characters=len(answer.text))
            with exchange:
                if isinstance(error, ProviderConnectionError) and answer.text:
                    raise _interrupted(answer) from error
                if isinstance(error, LLMError):
                    error.text = answer.text
                raise
    yield Done(exchange.signed(whole))


def _whole_despite(error: BaseException, answer: StreamedAnswer) -> LLMResponse | None:
    """The answer, if only the connection failed, after the model's reason to stop."""
    if isinstance(error, ProviderConnectionError | ProviderTimeoutError):
        with suppress(LLMError):
            return answer.response(closed=True)
    return None


async def drain(events: AsyncGenerator[object, None], within_s: float = _DRAIN_S) -> None:
    """Read what little comes behind the end, which is usually there already.

    Only a connection that was read to its end can be used again; a new one costs a TLS handshake.
    """
    with suppress(LLMError, TimeoutError):
        async with asyncio.timeout(within_s):
            async for _ in events:
                pass


def _interrupted(answer: StreamedAnswer) -> StreamInterruptedError:
    return StreamInterruptedError(
        f"{answer.provider} ended its answer in the middle",
        text=answer.text,
        provider=answer.provider,
    )
