from typing import Protocol


class Cache(Protocol):
    """Bytes by key, for a while. A cache never raises: what it cannot give is a miss."""

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl_s: float) -> None: ...

    async def ping(self) -> bool:
        """Whether it works at the moment."""
        ...

    async def aclose(self) -> None: ...
