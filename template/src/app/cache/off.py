class NoCache:
    """Caching, switched off: it forgets everything at once, so that nobody has to ask."""

    async def get(self, key: str) -> bytes | None:  # noqa: ARG002 - the protocol's parameter
        return None

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        pass

    async def ping(self) -> bool:
        return True

    async def aclose(self) -> None:
        pass
