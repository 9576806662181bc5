"""Traces: what happened for a request, as a tree of spans, each with its time and its facts.

The current span is the `traceparent` of `app.telemetry.correlation`. So the log shows the id of its
trace, providers are told whose call it is, and what runs inside it is its child, without a word about
traces anywhere else.

`OFF` is the tracer of a service without ENABLE_TRACING. Nothing of OpenTelemetry's SDK is imported
for it; the other one is in `app.telemetry.otel`.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Literal, Protocol, TypeVar

T = TypeVar("T")

Kind = Literal["server", "client", "internal"]
Facts = Mapping[str, str | bool | int | float | Sequence[str] | None]

_END = object()


class Span(Protocol):
    def note(self, facts: Facts) -> None:
        """Add what is known by now. What is `None` is not known."""

    def rename(self, name: str) -> None:
        """Call it what it turned out to be."""

    def failed(self, error: str) -> None:
        """Say the kind of error in which it ended, and nothing that an error message may hold."""

    def current(self) -> AbstractContextManager[None]:
        """Be the parent of what happens in this block. A block must not `yield`: see `inside`."""
        ...


class Tracer(Protocol):
    is_on: bool

    def span(
        self, name: str, facts: Facts, *, kind: Kind = "internal"
    ) -> AbstractContextManager[Span]:
        """Begin a span that ends with the block, and fails with it."""
        ...

    def exporting(self) -> AbstractAsyncContextManager[None]:
        """Send spans away as long as this is open, and the last ones before it closes."""
        ...


async def inside(span: Span, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Make each item with the span as current, but not what is done with the item.

    A generator shares the context of who iterates it, so a span that stayed current across a `yield`
    would become the parent of things that have nothing to do with it. Closes `items`.
    """
    try:
        while True:
            with span.current():
                item = await anext(items, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]  # `_END` was the only one that is no T
    finally:
        with span.current():
            await items.aclose()


class _NoSpan:
    def note(self, facts: Facts) -> None:
        pass

    def rename(self, name: str) -> None:
        pass

    def failed(self, error: str) -> None:
        pass

    def current(self) -> AbstractContextManager[None]:
        return _NOTHING


class _Off:
    is_on = False

    def span(
        self,
        name: str,  # noqa: ARG002 - nobody wants to know
        facts: Facts,  # noqa: ARG002
        *,
        kind: Kind = "internal",  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        return _NO_SPAN

    def exporting(self) -> AbstractAsyncContextManager[None]:
        return _NOTHING


_NOTHING = nullcontext()
_NO_SPAN: AbstractContextManager[Span] = nullcontext(_NoSpan())

OFF: Tracer = _Off()
