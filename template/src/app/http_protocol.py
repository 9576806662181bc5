"""HTTP/1.1 on one connection: uvicorn's protocol, with limits of size, time and number.

uvicorn with httptools limits neither the head of a request nor the time that a client takes for it,
and its own refusals are plain text. Decision 13 of the template compares it with other servers.
"""

import asyncio
import select
from enum import Enum, auto
from typing import Any

import httptools
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.middleware.requests import PROBES
from app.connections import STOPPING, SharedState
from app.http_refusal import refusal
from app.send_deadline import SendDeadline
from app.telemetry.logging import Sampler

_log = structlog.get_logger(__name__)
_sampler = Sampler()

MAX_HEAD_BYTES = 64 * 1024
# Requests that a client sends without waiting for the answer to the first. Browsers and proxies send
# none; 256 KB of them would be 9,000 requests in memory.
_MAX_PIPELINED = 16
# A refusal leaves the connection half open for this long. Closing it while the client still sends
# makes the client's kernel drop the refusal unread.
_LINGER_S = 2.0
_PROBES = frozenset(path.encode() for path in PROBES)


class _Phase(Enum):
    WAITING = auto()
    HEAD = auto()
    BODY = auto()


class HTTPProtocol(HttpToolsProtocol):
    parser: httptools.HttpRequestParser  # None only after the connection is lost
    head_timeout_s = 10.0
    body_timeout_s = 30.0
    send_timeout_s = 30.0

    def __init__(
        self,
        config: Config,
        server_state: SharedState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.address = ""
        self._places = server_state.places
        self._phase = _Phase.WAITING
        self._deadline: asyncio.TimerHandle | None = None
        self._deadline_of: _Phase | None = None
        self._discarding = False
        self._head_bytes = 0  # of the URL, complete headers and complete trailers
        self._silent_bytes = 0  # since the parser last found the end of a head or a part of a body
        self._progressed = False
        self._send_deadline = SendDeadline(self.send_timeout_s, self._on_send_deadline)

    # --- The connection -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        if self._places.add(self):
            self._set_deadline(_Phase.HEAD)
        else:
            if (left_out := _sampler.take("connection_refused")) is not None:
                _log.warning("http.connection_refused", client=self.address, left_out=left_out)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_deadline(None)
        self._send_deadline.stop()
        self._unset_keepalive_if_required()
        self._places.remove(self)
        super().connection_lost(exc)

    def evict(self) -> None:
        if (left_out := _sampler.take("connection_evicted")) is not None:
            _log.warning("http.connection_evicted", client=self.address, left_out=left_out)
        self.transport.close()

    def shutdown(self) -> None:
        """Close, unless a request has begun to arrive: it is answered, and then the server closes.

        It may be in the kernel still. Closing over unread bytes resets the connection, and a proxy does
        not repeat a POST that it has sent.
        """
        if self._phase is not _Phase.HEAD and not self._has_unread_bytes():
            super().shutdown()

    def _has_unread_bytes(self) -> bool:
        if not hasattr(select, "poll"):  # Windows
            return False
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    # --- Bytes to the client ----------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_deadline.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._send_deadline.stop()

    def _on_send_deadline(self) -> None:
        """Abort: closing would wait until the client has read the buffer."""
        if not self.transport.get_write_buffer_size():
            return
        if (left_out := _sampler.take("slow_reader")) is not None:
            _log.warning("http.slow_reader", client=self.address, left_out=left_out)
        self.transport.abort()

    # --- Bytes from the client --------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._discarding or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._progressed = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close_after_responses()  # the request is answered as if it asked for no upgrade
        except httptools.HttpParserError:
            self._refuse(400, "The request is not valid HTTP/1.1.")
        self._silent_bytes = 0 if self._progressed else self._silent_bytes + len(data)
        if max(self._silent_bytes, self._head_bytes) > MAX_HEAD_BYTES:
            self._refuse(431, f"The head of a request may have {MAX_HEAD_BYTES} bytes.")
        if not self._discarding:
            self._set_deadline(self._awaited())

    def _awaited(self) -> _Phase | None:
        """The part of a request that the client has to send now, within a deadline."""
        if self._phase is _Phase.BODY:
            return _Phase.BODY
        return None if self._is_responding() else _Phase.HEAD

    def _is_responding(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _close_after_responses(self) -> None:
        """Answer the requests that are complete, read no more of them, and close."""
        self._discarding = True
        self._set_deadline(None)
        self.cycle.keep_alive = False

    # --- Callbacks of the parser ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._phase = _Phase.HEAD
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._phase is _Phase.HEAD:  # trailers are not headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._discarding:
            return
        self._progressed = True
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"The head of a request may have {MAX_HEAD_BYTES} bytes.")
        elif not self._names_one_host():
            self._refuse(400, "A request has exactly one Host header.")
        elif self._places.is_over(self) and self.url.partition(b"?")[0] not in _PROBES:
            self._refuse(503, "The service has no connection free.", (b"retry-after", b"1"))
        elif len(self.pipeline) >= _MAX_PIPELINED:
            self._close_after_responses()
        else:
            self._phase = _Phase.BODY
            super().on_headers_complete()
            if self._places.is_over(self) or self.app_state.get(STOPPING):
                self.cycle.keep_alive = False

    def _names_one_host(self) -> bool:
        hosts = sum(1 for name, _ in self.headers if name == b"host")
        return hosts == 1 or (hosts == 0 and self.parser.get_http_version() != "1.1")

    def on_body(self, body: bytes) -> None:
        if not self._discarding:
            self._progressed = True
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._discarding:
            self._progressed = True
            self._phase = _Phase.WAITING
            self._places.set_busy(self)
            super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._send_deadline.start()
        if self.transport.is_closing():
            return
        if self._phase is _Phase.BODY and self.expect_100_continue and not self._is_responding():
            self._hang_up()
            return
        if not self._is_responding():
            self._places.set_idle(self)
        if self._phase is _Phase.HEAD:
            self._set_deadline(_Phase.HEAD)

    # --- Deadlines ------------------------------------------------------------------------------

    def _set_deadline(self, phase: _Phase | None) -> None:
        """Start the deadline of `phase`, which further bytes of the same phase do not extend."""
        if phase is self._deadline_of:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline_of = phase
        if phase is None:
            self._deadline = None
        else:
            timeout_s = self.body_timeout_s if phase is _Phase.BODY else self.head_timeout_s
            self._deadline = self.loop.call_later(timeout_s, self._on_deadline)

    def _on_deadline(self) -> None:
        if self._phase is _Phase.WAITING:  # the client has sent nothing
            self.transport.close()
            return
        part, limit_s = (
            ("body", self.body_timeout_s)
            if self._phase is _Phase.BODY
            else ("head", self.head_timeout_s)
        )
        self._refuse(408, f"The {part} of the request did not arrive within {limit_s:g} s.")

    # --- The server's own answers -----------------------------------------------------------------

    def _refuse(self, status: int, detail: str, *headers: tuple[bytes, bytes]) -> None:
        """Answer with a problem and close, after the answers to earlier requests."""
        if self._discarding:
            return
        if (left_out := _sampler.take(detail)) is not None:
            _log.warning(
                "http.refused",
                status=status,
                reason=detail,
                client=self.address,
                left_out=left_out,
            )
        if self._phase is not _Phase.BODY and self._is_responding():
            self._close_after_responses()
            return
        self._discarding = True
        self._set_deadline(None)
        if self._phase is _Phase.BODY and not self._gives_up_waiting_for_body():
            self.transport.close()
            return
        sent = dict(self.headers or ()).get(b"x-request-id", b"").decode("latin-1")
        defaults = self.server_state.default_headers
        self.transport.write(refusal(status, detail, [*defaults, *headers], sent or None))
        self._linger()

    def _hang_up(self) -> None:
        """Close after an answer to a request that waits for leave to send its body.

        The client does not send it now, and its next request would be read as this body.
        """
        self._discarding = True
        self._unset_keepalive_if_required()
        self._set_deadline(None)
        self._linger()

    def _linger(self) -> None:
        self.transport.write_eof()
        self._deadline = self.loop.call_later(_LINGER_S, self.transport.close)

    def _gives_up_waiting_for_body(self) -> bool:
        """Tell the endpoint that no more of the body comes; say whether it has sent nothing yet."""
        is_free = self._is_responding() and not self.cycle.response_started and not self.pipeline
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        return is_free
