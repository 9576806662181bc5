"""Limits of the connections to one provider, whichever library makes them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """The size of a pool, and how long a call waits for a connection of it and for a new one."""

    size: int
    connect_timeout_s: float
    pool_timeout_s: float
    keep_idle_s: float = 60.0
