"""uvicorn's server, with a stop that loses no request.

SIGTERM: `/readyz` answers 503 while the server still accepts, for `shutdown_delay_s`, until load
balancers send no more. Then it closes the listener, finishes the requests it has for up to
`shutdown_grace_s`, and ends as soon as there are none. A second signal ends the process at once.
"""

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import cast

import structlog
import uvicorn
from uvicorn.lifespan.on import LifespanOn, LifespanSendMessage

from app.connections import STOPPING, Connections, SharedState

_log = structlog.get_logger(__name__)

# Linux. The program drops segments of a TCP handshake's first step: flags & (SYN | ACK) == SYN.
_SO_ATTACH_FILTER = 26
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte with the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # let pass
)
# Linux. Packets begin with 64 hops, so a listener that wants 255 takes no new handshake.
_LEAST_HOP_COUNT = {
    socket.AF_INET: (socket.IPPROTO_IP, 21),  # IP_MINTTL
    socket.AF_INET6: (socket.IPPROTO_IPV6, 73),  # IPV6_MINHOPCOUNT
}
_MOST_HOPS = 255
_SETTLE_S = 0.1
_RETRANSMISSION_S = 0.5  # the kernel sends again after 0.2 s


class Config(uvicorn.Config):
    def load(self) -> None:
        super().load()
        self.lifespan_class = Lifespan


class Lifespan(LifespanOn):
    async def send(self, message: LifespanSendMessage) -> None:
        """Log no traceback of a configuration that the service refused with a line of its own."""
        from app.errors import StartRefusedError  # noqa: PLC0415 - of this version, after a reload

        is_failure = message["type"] == "lifespan.startup.failed"
        if is_failure and isinstance(sys.exc_info()[1], StartRefusedError):
            message = {"type": "lifespan.startup.failed", "message": ""}
        await super().send(message)


class Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, places: Connections, *, shutdown_delay_s: float = 0.0
    ) -> None:
        super().__init__(config)
        self.server_state = SharedState(places)
        self._delay_s = shutdown_delay_s
        self._close_at: float | None = None
        self._late: set[asyncio.Task[object]] = set()  # asyncio itself keeps no reference

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Say whether to close the listener; called ten times a second."""
        if not await super().on_tick(counter):
            return False
        if self._close_at is None:
            self._close_at = time.monotonic() + self._delay_s
            self.lifespan.state[STOPPING] = True
            grace_s = self.config.timeout_graceful_shutdown
            _log.info("service.stopping", delay_s=self._delay_s, grace_s=grace_s)
        return self.force_exit or time.monotonic() >= self._close_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if not self.force_exit and self._delay_s:
            await _accept_the_rest(sockets or [])
            self._close_listeners(sockets or [])
            await self._take_every_hop_count()
        await super().shutdown(sockets)

    async def _take_every_hop_count(self) -> None:
        """Undo the least hop count of the listener for the connections that have inherited it since.

        What they sent meanwhile is lost, and their clients send it again.
        """
        sockets = [
            each.transport.get_extra_info("socket") for each in self.server_state.connections
        ]
        if any(list(map(_take_each_hop_count, sockets))):
            await asyncio.sleep(_RETRANSMISSION_S)

    def _close_listeners(self, listeners: list[socket.socket]) -> None:
        """Close, after the connections that wait to be accepted since the loop last looked.

        Without a filter for handshakes a connection of the next microseconds is reset; after a turn of
        the loop it would be those of some milliseconds.
        """
        loop = asyncio.get_running_loop()
        late = [each for listener in listeners for each in _waiting_at(listener)]
        for server in self.servers:
            server.close()
        for accepted in late:
            task = loop.create_task(loop.connect_accepted_socket(self._new_protocol, accepted))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    def _new_protocol(self) -> asyncio.Protocol:
        protocol = cast("Callable[..., asyncio.Protocol]", self.config.http_protocol_class)
        return protocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _waiting_at(listener: socket.socket) -> Iterator[socket.socket]:
    listener.settimeout(0)
    with suppress(BlockingIOError):
        while True:
            accepted, _ = listener.accept()
            accepted.settimeout(0)
            _take_each_hop_count(accepted)
            yield accepted


async def _accept_the_rest(listeners: list[socket.socket]) -> None:
    """Accept connections with a finished handshake; closing the listener would reset them.

    Their clients have sent a request already, and a proxy does not repeat a POST. New handshakes are
    dropped: these clients try again after a second, find the port closed, and go elsewhere.
    """
    for listener in listeners:
        with suppress(OSError, AttributeError):  # not Linux, or a kernel that does not allow it
            _drop_new_handshakes(listener)
    await asyncio.sleep(_SETTLE_S)


def _drop_new_handshakes(listener: socket.socket) -> None:
    import ctypes  # noqa: PLC0415 - 0.4 MB that only this step of a stop needs

    program = b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN)
    kept = ctypes.create_string_buffer(program)  # the kernel reads it through this pointer
    described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(kept))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
    except PermissionError:  # hardened kernels want a capability for it
        _set_least_hop_count(listener, _MOST_HOPS)


def _set_least_hop_count(each: socket.socket, hops: int) -> None:
    """Take only packets with so many hops left. For a listener these are first steps of handshakes."""
    each.setsockopt(*_LEAST_HOP_COUNT[each.family], hops)


def _take_each_hop_count(each: socket.socket) -> bool:
    """Say whether the connection took only some."""
    option = _LEAST_HOP_COUNT.get(each.family)
    if option is None or sys.platform != "linux" or each.getsockopt(*option) != _MOST_HOPS:
        return False
    each.setsockopt(*option, 0)
    return True
