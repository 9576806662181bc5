"""The deadline of the caller, from the header to the end of the request: docs/gateways.md."""

import asyncio
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import ProblemResponse, describe, invalid_header
from app.errors import ProviderTimeoutError
from app.resilience import deadline

_OWN = b"x-request-timeout"
_FORM = "must be a number of seconds above 0 and below 1000000, such as 2.5"

# The headers, with the number of their units in a second. An SDK sends the time after which it closes
# the connection; Envoy the time that it allows for all attempts.
_UNITS = {_OWN: 1, b"x-envoy-expected-rq-timeout-ms": 1000, b"x-stainless-read-timeout": 1}
DEADLINE_HEADERS = _UNITS.keys()
_NUMBER = re.compile(rb"\d{1,9}(\.\d{1,9})?")
_MAX_S = 1_000_000


class CallerDeadline:
    """Ends a request at the deadline of its caller, with a 504; a stream only before its first event.

    The earliest deadline of the headers counts, from the arrival of the request. It is an upper bound
    only: the service's own timeouts stay as they are. An invalid `X-Request-Timeout` is refused,
    because its caller relies on it. An invalid header of another program is ignored, as Envoy ignores
    its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [(name, value) for name, value in scope["headers"] if name in DEADLINE_HEADERS]
        times = [(name, _seconds(name, value)) for name, value in given]
        if (_OWN, None) in times:
            problem = invalid_header("X-Request-Timeout", _FORM)
            await ProblemResponse(problem)(scope, receive, send)
            return
        callers = _earliest(seconds for _, seconds in times)
        if callers is None:
            await self._app(scope, receive, send)
            return
        token = deadline.current.set(callers)
        try:
            await self._within(callers, scope, receive, send)
        finally:
            deadline.current.reset(token)

    async def _within(
        self, callers: deadline.Deadline, scope: Scope, receive: Receive, send: Send
    ) -> None:
        timeout = asyncio.timeout_at(callers.ends)

        async def send_in_time(message: Message) -> None:
            if timeout.expired():
                return  # the caller gets the answer below
            timeout.reschedule(None)
            await send(message)

        try:
            async with timeout:
                await self._app(scope, receive, send_in_time)
        except TimeoutError:
            if not timeout.expired():
                raise
            why = f"No answer within the {callers.allowed_s:g} s that the caller allows"
            await ProblemResponse(describe(ProviderTimeoutError(why)))(scope, receive, send)


def _seconds(name: bytes, value: bytes) -> float | None:
    """The time in seconds; `None` if it is not valid."""
    if not _NUMBER.fullmatch(value.strip()):
        return None
    seconds = float(value) / _UNITS[name]
    return seconds if 0 < seconds < _MAX_S else None


def _earliest(times: Iterable[float | None]) -> deadline.Deadline | None:
    allowed_s = min((seconds for seconds in times if seconds is not None), default=None)
    if allowed_s is None:
        return None
    return deadline.Deadline(allowed_s, asyncio.get_running_loop().time() + allowed_s)
