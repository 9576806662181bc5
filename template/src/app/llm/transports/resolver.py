"""Name resolution that cannot be blocked by the lookups of another provider."""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # the import takes 9 MB, and httpx2's transport does not need it
    from aiohttp.abc import ResolveResult

T = TypeVar("T")

_NUMERIC_NAME = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
_NUMERIC_ADDRESS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


async def resolve(
    host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
) -> list["ResolveResult"]:
    """Resolve the name in a thread of its own.

    The event loop's resolver has a few threads for all names: 6 with two CPUs, 4 with uvloop. A name
    server that does not answer holds one for 10 to 30 s per lookup, so one provider's name would
    block the names of all others. aiohttp looks up a name once for all of a pool's callers, so a
    pool has one thread per name.

    A lookup cannot be stopped. Its thread is a daemon, so it does not delay the exit.
    """
    return await _in_thread(lambda: _addresses(host, port, family))


def _addresses(host: str, port: int, family: socket.AddressFamily) -> list["ResolveResult"]:
    found: list[ResolveResult] = []
    for kind, _, protocol, _, address in socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM
    ):
        numeric, number = socket.getnameinfo(address, _NUMERIC_NAME)  # keeps the scope of fe80::
        found.append(
            {
                "hostname": host,
                "host": numeric,
                "port": int(number),
                "family": kind,
                "proto": protocol,
                "flags": _NUMERIC_ADDRESS,
            }
        )
    return found


async def _in_thread(call: Callable[[], T]) -> T:
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # otherwise a cancelled caller makes `set_result` fail

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001 - raised in the caller
            future.set_exception(error)

    Thread(target=run, name="resolver", daemon=True).start()
    return await asyncio.wrap_future(future)
