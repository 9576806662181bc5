"""The token of the process that builds the index, as a key that expires."""

from app.rag.shared.redis.store import DocumentStore

_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class RedisLease:
    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self.key = store.key("lease")
        self._renewing = store.client.register_script(_RENEW)
        self._releasing = store.client.register_script(_RELEASE)

    async def take(self, token: str, lease_s: float) -> bool:
        setting, lease_ms = self._store.client.set, int(lease_s * 1000)
        return bool(await self._store.write(lambda: setting(self.key, token, nx=True, px=lease_ms)))

    async def renew(self, token: str, lease_s: float) -> None:
        arguments: list[str | int] = [token, int(lease_s * 1000)]
        await self._store.write(lambda: self._renewing(keys=[self.key], args=arguments))

    async def release(self, token: str) -> None:
        await self._store.write(lambda: self._releasing(keys=[self.key], args=[token]))
