"""Lets one process at a time build the index.

The lease expires if its process dies, and is renewed while the process runs. A process that was
stopped for longer, and has lost its lease without knowing, cannot publish: the stores compare the
token. (Source: Kleppmann, How to do distributed locking, 2016.)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Protocol

from app.errors import DocumentsNotReadyError
from app.resilience.race import cancel_and_wait

_LEASE_S = 15.0
_RENEWALS = 3


class LeaseKeeper(Protocol):
    """Keeps the token of the holder, until it expires. Only the holder may renew and release it."""

    async def take(self, token: str, lease_s: float) -> bool:
        """Keep the token, unless another one is kept."""
        ...

    async def renew(self, token: str, lease_s: float) -> None: ...

    async def release(self, token: str) -> None: ...


class Lease:
    def __init__(
        self,
        keeper: LeaseKeeper,
        *,
        lease_s: float = _LEASE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._keeper = keeper
        self._lease_s = lease_s
        self._sleep = sleep

    @asynccontextmanager
    async def held(self) -> AsyncIterator[str | None]:
        """Take the lease for the block, and yield its token; `None` if another process has it."""
        token = token_hex(16)
        if not await self._keeper.take(token, self._lease_s):
            yield None
            return
        renewing = asyncio.create_task(self._renew(token))
        try:
            yield token
        finally:
            await cancel_and_wait([renewing])
            await self._release(token)

    async def _renew(self, token: str) -> None:
        while True:
            await self._sleep(self._lease_s / _RENEWALS)
            try:
                await self._keeper.renew(token, self._lease_s)
            except DocumentsNotReadyError:
                continue  # the outage may end before the lease does

    async def _release(self, token: str) -> None:
        try:
            await self._keeper.release(token)
        except DocumentsNotReadyError:
            return  # it expires
