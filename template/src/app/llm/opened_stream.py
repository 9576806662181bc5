"""A streamed answer after its first event, as one object with observers instead of nested generators.

Before the first event the caller has received nothing, so the call can be repeated or sent to another
provider. After it a second attempt would repeat text. So guards open a stream as they make any other
call, and hand the `OpenedStream` on.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from app.llm.types import Done, Embeddings, LLMResponse, StreamEvent, TextDelta
from app.telemetry.correlation import traceparent, under

Answer = TypeVar("Answer", LLMResponse, Embeddings)

_REPLAY_CHARS = 64


class Observer:
    """Sees an answer pass. Each observer gets either one `finished` or one `failed`."""

    def delta(self, text: TextDelta, /) -> None:
        """A piece of text has arrived. Runs for each chunk, so it has to be cheap."""

    async def finished(self, answer: Answer, /) -> Answer:
        """The whole answer has arrived. Return it, or another one in its place."""
        return answer

    async def failed(self, error: BaseException, /) -> None:
        """The call failed or was abandoned.

        `CancelledError` and `GeneratorExit` mean that the caller left before the end.
        """


class Events(Protocol):
    """A provider's events, such as an async generator of them."""

    def __aiter__(self) -> AsyncIterator[StreamEvent]: ...

    def aclose(self) -> Coroutine[Any, Any, None]: ...


@runtime_checkable
class Peekable(Protocol):
    """Events that may have arrived before they are read."""

    def peek(self) -> StreamEvent | None:
        """The next event, if reading it does not wait."""
        ...


def _nothing() -> None:
    """No event is known before it is read."""


class OpenedStream:
    """Iterate it for `TextDelta`s and one `Done`, and close it (`contextlib.aclosing`).

    Observers run in the order in which they were added: those of inner guards first. What one returns
    from `finished` is what the next one gets. A stream that is closed unread tells them as well.

    `finished` and `failed` of each observer run under the span that was current when it was added, and
    the provider's part of the stream under the span in which it was opened. The reader keeps its own.
    """

    def __init__(self, first: StreamEvent, rest: Events) -> None:
        self._first: StreamEvent | None = first
        self._rest = rest
        self._next = aiter(rest)
        self._peek = rest.peek if isinstance(rest, Peekable) else _nothing
        self._parent = traceparent.get()
        self._observers: deque[tuple[Observer, str | None]] = deque()
        self._deltas: list[Callable[[TextDelta], None]] = []  # of the observers that have one

    async def observe(self, observer: Observer) -> Self:
        """Show `observer` each event from the first one on, which counts as arrived now."""
        try:
            if isinstance(self._first, Done):
                self._first = Done(await observer.finished(self._first.response))
            else:
                self._observers.append((observer, traceparent.get()))
                if type(observer).delta is not Observer.delta:
                    self._deltas.append(observer.delta)
                if self._first is not None:
                    observer.delta(self._first)
        except BaseException:
            await self.aclose()
            raise
        return self

    def has_text_ready(self) -> bool:
        """Whether the next event is text that has arrived, because the reader is slower."""
        return isinstance(self._first or self._peek(), TextDelta)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        event, self._first = self._first, None
        if event is not None:
            return event
        try:
            if traceparent.get() == self._parent:  # without spans, always
                event = await anext(self._next)
            else:
                with under(self._parent):
                    event = await anext(self._next)
            if isinstance(event, Done):
                return Done(await self._finished(event.response))
            for delta in self._deltas:
                delta(event)
        except StopAsyncIteration:  # without a `Done`
            await self._failed(GeneratorExit())
            raise
        except BaseException as error:
            await self._failed(error)
            raise
        return event

    async def aclose(self) -> None:
        """Close the connection to the provider, then tell the observers that the caller left."""
        self._first = None
        reason: BaseException = GeneratorExit()
        try:
            with under(self._parent):
                await self._rest.aclose()
        except BaseException as error:
            reason = error
            raise
        finally:
            await self._failed(reason)

    async def _finished(self, response: LLMResponse) -> LLMResponse:
        while self._observers:
            observer, parent = self._observers.popleft()
            with under(parent):
                response = await observer.finished(response)
        return response

    async def _failed(self, error: BaseException) -> None:
        """Tell all of them, also when one of them fails or is cancelled itself."""
        while self._observers:
            observer, parent = self._observers.popleft()
            try:
                with under(parent):
                    await observer.failed(error)
            except BaseException as newer:
                await self._failed(newer)
                raise


class StreamToOpen:
    """A stream that opens when the first event is read."""

    def __init__(self, open_it: Callable[[], Awaitable[OpenedStream]]) -> None:
        self._open_it = open_it
        self._opened: OpenedStream | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self._opened is None:
            self._opened = await self._open_it()
        return await anext(self._opened)

    def has_text_ready(self) -> bool:
        return self._opened is not None and self._opened.has_text_ready()

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()


class ReadyEvents:
    """Events that are known already, such as those of a cached answer."""

    def __init__(self, events: Sequence[StreamEvent]) -> None:
        self._events = deque(events)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if not self._events:
            raise StopAsyncIteration
        return self._events.popleft()

    def peek(self) -> StreamEvent | None:
        return self._events[0] if self._events else None

    async def aclose(self) -> None:
        self._events.clear()


def replayed(response: LLMResponse) -> OpenedStream:
    """A stream of an answer that is known already."""
    content = response.content
    pieces = range(0, len(content), _REPLAY_CHARS)
    deltas = [TextDelta(content[start : start + _REPLAY_CHARS]) for start in pieces]
    first, *rest = [*deltas, Done(response)]
    return OpenedStream(first, ReadyEvents(rest))
