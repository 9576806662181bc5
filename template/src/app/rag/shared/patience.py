"""Writes through a short outage of the store: the vectors are paid for, and wait for their place."""

from collections.abc import Awaitable, Callable

from app.errors import DocumentsNotReadyError

# An outage that begins with a call that took too long ends after three seconds, or six.
_OUTAGE_S = 10


async def patiently(
    write: Callable[[], Awaitable[object]], sleep: Callable[[float], Awaitable[None]]
) -> None:
    for _ in range(_OUTAGE_S):
        try:
            await write()
        except DocumentsNotReadyError:
            await sleep(1)
        else:
            return
    await write()
