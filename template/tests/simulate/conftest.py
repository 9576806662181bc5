"""The real Redis of the tests of `tests/redis`."""

from tests.redis.conftest import url

__all__ = ["url"]
