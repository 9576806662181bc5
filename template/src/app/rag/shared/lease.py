"""Lets one process at a time build the index.

The lease expires if its process dies, and is renewed while the process runs. A process that was
stopped for longer, and has lost its lease without knowing, cannot publish: the scripts compare the
token. (Source: Kleppmann, How to do distributed locking, 2016.)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from secrets import token_hex

from app.errors import DocumentsNotReadyError
from app.rag.shared.store import DocumentStore
from app.resilience.race import cancel_and_wait

_LEASE_S = 15.0
_RENEWALS = 3

_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class Lease:
    def __init__(
        self,
        store: DocumentStore,
        *,
        lease_s: float = _LEASE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._lease_ms = int(lease_s * 1000)
        self._sleep = sleep
        self.key = store.key("lease")
        self._renewing = store.client.register_script(_RENEW)
        self._releasing = store.client.register_script(_RELEASE)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[str | None]:
        """Take the lease for the block, and yield its token; `None` if another process has it."""
        token = token_hex(16)
        taking = self._store.client.set
        taken = await self._store.write(lambda: taking(self.key, token, nx=True, px=self._lease_ms))
        if not taken:
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
            await self._sleep(self._lease_ms / 1000 / _RENEWALS)
            try:
                await self._store.write(
                    lambda: self._renewing(keys=[self.key], args=[token, self._lease_ms])
                )
            except DocumentsNotReadyError:
                continue  # the outage may end before the lease does

    async def _release(self, token: str) -> None:
        try:
            await self._store.write(lambda: self._releasing(keys=[self.key], args=[token]))
        except DocumentsNotReadyError:
            return  # it expires
