"""Callers that arrive and cancel at given times, and the result of each."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from app.resilience.rate_limit import LimitExceededError, RateLimiter
from tests.resilience import virtual_time


@dataclass(frozen=True)
class Caller:
    """A caller: its distance from the previous one, and the wait after which it cancels."""

    after_s: float
    patience_s: float = 1e9


@dataclass(frozen=True)
class Turn:
    """A call that was made."""

    number: int
    came: float
    made: float


_GAPS = st.one_of(st.just(0.0), st.floats(0, 20))
PATIENT = st.lists(st.builds(Caller, _GAPS), min_size=1, max_size=20)
ANY = st.lists(st.builds(Caller, _GAPS, st.floats(0, 30)), min_size=1, max_size=20)


async def turns(limiters: Sequence[RateLimiter], callers: Sequence[Caller]) -> list[Turn]:
    """Run the callers, spread over the limiters, until each has called or cancelled."""
    made: list[Turn] = []

    async def call(number: int, patience_s: float) -> None:
        came = virtual_time.now()
        async with asyncio.timeout(patience_s):
            await limiters[number % len(limiters)].acquire()
        made.append(Turn(number, came, virtual_time.now()))

    calls = []
    for number, caller in enumerate(callers):
        await asyncio.sleep(caller.after_s)
        calls.append(asyncio.create_task(call(number, caller.patience_s)))
    for end in await asyncio.gather(*calls, return_exceptions=True):
        assert end is None or isinstance(end, TimeoutError | LimitExceededError)
    return made
