"""What happens on the wire: each request to the service, and each attempt that reaches a provider."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scripts.lab.live.bus import Bus
from scripts.lab.recording import Called, Recording
from scripts.lab.stack import PROVIDERS

Kind = Literal["first", "retry", "fallback", "hedge"]

_ID = "x-request-id"
_FIRST_ERROR = 400
_BROKEN = b"event: error\n"


class WatchedService:
    """Publishes each request and its end. A request without an id gets the next one of the play."""

    def __init__(self, service: ASGIApp, bus: Bus, play: str) -> None:
        self._service = service
        self._bus = bus
        self._play = play
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "/v1/" not in scope["path"]:
            return await self._service(scope, receive, send)
        answer = _Answer()
        headers = MutableHeaders(raw=[*scope["headers"]])
        headers.setdefault(_ID, f"{self._play}-{next(self._numbers):03}")
        self._bus.publish({"kind": "request", "id": headers[_ID], "path": scope["path"]})
        try:
            await self._service({**scope, "headers": headers.raw}, receive, answer.noting(send))
        finally:
            end = {"status": answer.status, "ending": answer.ending}
            self._bus.publish({"kind": "answer", "id": headers[_ID], **end})
        return None


@dataclass(slots=True)
class _Attempt:
    number: int
    provider: str


@dataclass(slots=True)
class _Attempts:
    """The attempts of one request so far."""

    open: set[int] = field(default_factory=set)
    providers: set[str] = field(default_factory=set)

    def kind_of(self, provider: str, first: str) -> Kind:
        """The reason for another attempt. One that starts beside another one is a hedge."""
        if self.open:
            return "hedge"
        if provider in self.providers:
            return "retry"
        return "first" if provider == first else "fallback"


class WatchedMock:
    """Publishes each attempt, and how it ended on the wire, and records it for the pledges."""

    def __init__(self, mock: ASGIApp, bus: Bus) -> None:
        self._mock = mock
        self._bus = bus
        self._numbers = itertools.count(1)
        self.begin(Recording(), ["openai"])

    def begin(self, recording: Recording, providers: Sequence[str]) -> None:
        """Begin a play of a service that asks these providers, in this order."""
        self._recording = recording
        self._first = providers[0]
        self._seen: dict[str, _Attempts] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        provider = PROVIDERS.get(scope["path"]) if scope["type"] == "http" else None
        if provider is None:
            return await self._mock(scope, receive, send)
        request_id = dict(scope["headers"]).get(_ID.encode(), b"").decode("latin-1")
        seen, number = self._begin(request_id, provider), next(self._numbers)
        kind = seen.kind_of(provider, self._first)
        seen.providers.add(provider)
        seen.open.add(number)
        about: dict[str, object] = {"id": request_id, "n": number, "provider": provider}
        self._bus.publish({"kind": "attempt", **about, "as": kind})
        answer = _Answer()
        try:
            await self._mock(scope, receive, answer.noting(send))
        finally:
            seen.open.discard(number)
            end = {"status": answer.status, "ending": answer.ending}
            self._bus.publish({"kind": "attempt_end", **about, **end})
        return None

    def _begin(self, request_id: str, provider: str) -> _Attempts:
        self._recording.called.append(Called(provider, self._bus.at))
        return self._seen.setdefault(request_id, _Attempts())


@dataclass(slots=True)
class _Answer:
    """An answer as its caller sees it: whole, refused, broken (cut, or ended by an error), or silent."""

    status: int = 0
    is_complete: bool = False
    is_broken: bool = False

    @property
    def ending(self) -> str:
        if not self.status:
            return "silent"
        if self.status >= _FIRST_ERROR:
            return "refused"
        return "whole" if self.is_complete and not self.is_broken else "broken"

    def noting(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            self._note(message)
            await send(message)

        return sending

    def _note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.is_broken |= _BROKEN in message.get("body", b"")
            self.is_complete = not message.get("more_body", False)
