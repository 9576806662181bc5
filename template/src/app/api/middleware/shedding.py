"""Refuses a request that no provider has a place for, before its body is read."""

from collections import deque
from collections.abc import Awaitable, Collection, Iterable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import on_llm_error
from app.llm.overload import Overload
from app.telemetry.correlation import client

_FIRST_ERROR = 400
_SHORT_BYTES = 64 * 1024
_FEW_PIECES = 16
_NAME_OF_PROVIDER = b'"provider"'  # inside a string its quotes would be escaped


@dataclass(frozen=True, slots=True)
class Sheddable:
    """The paths of endpoints that need a connection to a provider, or a cached answer.

    The first call of a `chain` path goes through the whole chain, unless its body has a `provider`.
    The calls of an `embeddings` path go to one provider.
    """

    chain: Collection[str] = ()
    others: Collection[str] = ()
    embeddings: Collection[str] = ()


NOTHING = Sheddable()


@dataclass(frozen=True, slots=True)
class _Route:
    """The route of a refused request, for its log line and metrics: it does not reach the router."""

    path_format: str


class Shedding:
    """Refuses a request early, with the 503 `overloaded` that it would get from the queues later.

    Inside `ClientAuth`, because each client has its own share of a queue, and outside of
    `RequestLimits`: a request that is shed does not count.

    An early refusal takes a quarter of the CPU time of a late one. A cached answer needs no connection,
    but the service has to read the body to look for it. So only a limited number of requests (`Lookups`)
    may look. All others are refused, and the CPU time is left to requests that have a connection.

    The server reads the rest of a refused body and drops it, so the connection can be used again.
    """

    def __init__(self, app: ASGIApp, *, overload: Overload, paths: Sheddable) -> None:
        self._app = app
        self._overload = overload
        self._chain = frozenset(paths.chain)
        self._embeddings = frozenset(paths.embeddings)
        self._paths = self._chain.union(paths.others, paths.embeddings)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        for gate in self._overload.gates:  # without calls: each request passes here
            if gate.bulkhead.is_full and scope["type"] == "http" and scope["path"] in self._paths:
                return self._shed(scope, receive, send)
        return self._app(scope, receive, send)

    async def _shed(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = client.get() or _tenant(scope["headers"])
        is_refused = scope["method"] == "POST" and self._refuses(scope["path"], caller)
        if not is_refused and self._may_be_unnamed(scope, caller):
            read = await _beginning(receive)
            receive = _again(read, receive)
            is_refused = _is_unnamed(read) and self._overload.refuses_unnamed(caller)
        if not is_refused:
            await self._app(scope, receive, send)
        elif self._overload.lookups.take():
            await self._app(scope, receive, self._giving_back(send))
        else:
            await self._refuse(scope, receive, send)

    def _refuses(self, path: str, caller: str) -> bool:
        if path in self._embeddings:
            return self._overload.refuses_embeddings(caller)
        return self._overload.refuses(caller)

    def _may_be_unnamed(self, scope: Scope, caller: str) -> bool:
        is_of_chain = scope["method"] == "POST" and scope["path"] in self._chain
        return is_of_chain and self._overload.refuses_unnamed(caller)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = _Route(scope["path"])
        error = self._overload.refusal(embeddings=scope["path"] in self._embeddings)
        response = await on_llm_error(Request(scope), error)
        await response(scope, receive, send)

    def _giving_back(self, send: Send) -> Send:
        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < _FIRST_ERROR:
                self._overload.lookups.give_back()
            await send(message)

        return send_and_note


def _tenant(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The name by which the queues know a caller without a key."""
    for name, value in headers:
        if name == b"x-tenant-id":
            return value.decode("latin-1")
    return ""


async def _beginning(receive: Receive) -> list[Message]:
    """The body in messages, as far as it is short."""
    read = [await receive()]
    size = len(read[0].get("body", b""))
    while read[-1].get("more_body", False) and len(read) < _FEW_PIECES and size < _SHORT_BYTES:
        read.append(await receive())
        size += len(read[-1].get("body", b""))
    return read


def _is_unnamed(read: list[Message]) -> bool:
    """Whether a body names no provider. `False` if not all of it is read."""
    is_whole = read[-1]["type"] == "http.request" and not read[-1].get("more_body", False)
    return is_whole and _NAME_OF_PROVIDER not in b"".join(part.get("body", b"") for part in read)


def _again(read: list[Message], receive: Receive) -> Receive:
    pending = deque(read)

    async def receive_again() -> Message:
        return pending.popleft() if pending else await receive()

    return receive_again
