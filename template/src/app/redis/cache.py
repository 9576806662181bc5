"""A cache in Redis that all processes share. A failed lookup is a miss."""

from app.redis.client import SharedRedis


class RedisCache:
    """Stores entries through a `SharedRedis`, which the caller opens and closes."""

    def __init__(self, redis: SharedRedis) -> None:
        self._redis = redis
        self._client = redis.client

    async def get(self, key: str) -> bytes | None:
        name = self._redis.key("cache", key)
        value = await self._redis.read(lambda: self._client.get(name), otherwise=None)
        return value.encode() if isinstance(value, str) else value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        name, ttl_ms = self._redis.key("cache", key), max(1, round(ttl_s * 1000))
        await self._redis.write(lambda: self._client.set(name, value, px=ttl_ms), otherwise=None)

    async def ping(self) -> bool:
        return await self._redis.check()

    async def aclose(self) -> None:
        pass
