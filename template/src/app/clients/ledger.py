"""What each client has used: requests and tokens of the last minute, calls in flight, dollars of the day.

A request reserves an estimate before it starts; when it ends, its usage replaces the estimate. It is
admitted while something of each limit is left. So a limit is exceeded by the requests in flight at
most: the size of an answer is not known before it is there.

The minute is a sliding window of twelve whole slots of 5 s and the current one. So no 60 seconds
contain more than the limit, and use is free again after 60 to 65 s.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from app.clients.policy import ClientLimits

SLOT_S = 5
SLOTS = 60 // SLOT_S + 1
DAY_S = 24 * 3600

# A place is free when one of the calls in flight ends, which can be at any time.
CONCURRENCY_WAIT_S = 1.0

Limit = Literal["concurrency", "requests", "tokens", "budget"]


class Use(NamedTuple):
    """Tokens, and dollars in units of 1e-9, because integers add up exactly.

    A named tuple takes a third of the time of a frozen dataclass: each request makes several.
    """

    tokens: int = 0
    nanousd: int = 0

    def plus(self, other: "Use") -> "Use":
        return Use(self.tokens + other.tokens, self.nanousd + other.nanousd)

    def minus(self, other: "Use") -> "Use":
        return Use(self.tokens - other.tokens, self.nanousd - other.nanousd)

    def beyond(self, other: "Use") -> "Use":
        """The part of this use that `other` does not cover."""
        return Use(max(0, self.tokens - other.tokens), max(0, self.nanousd - other.nanousd))

    def __bool__(self) -> bool:
        return bool(self.tokens or self.nanousd)


NOTHING = Use()


class Standing(NamedTuple):
    """The answer to a reservation: the limit that refuses it, or what is left of the minute."""

    refused: Limit | None = None
    wait_s: float = 0.0
    requests_left: int = 0
    tokens_left: int = 0


@dataclass(slots=True)
class Hold:
    """A request in flight: the use that is reserved for it, and the slot and day of its beginning."""

    client: str
    limits: ClientLimits
    use: Use = NOTHING
    slot: int = 0
    day: int = 0
    id: str = ""  # of a request in Redis
    is_shared: bool = False  # in Redis, and not in this process
    is_counted: bool = True  # as a request of the minute, also after its end


class Ledger(Protocol):
    async def open(self, hold: Hold, /) -> Standing:
        """Admit a request and reserve its use, or refuse it and record nothing."""
        ...

    async def extend(self, hold: Hold, more: Use, /) -> Standing:
        """Reserve more for an admitted request. Its own reservation does not count against it."""
        ...

    async def settle(self, hold: Hold, used: Use, /) -> None:
        """Replace the reservation by the usage, and end the request. See `Hold.is_counted`."""
        ...

    async def add(self, hold: Hold, used: Use, /) -> None:
        """Record the usage of a call that ends after its request was settled."""
        ...


@dataclass(slots=True)
class _Used:
    slot: int = 0  # of the last advance
    slots: dict[int, list[int]] = field(default_factory=dict)  # requests and tokens, oldest first
    requests: int = 0
    tokens: int = 0
    day: int = 0
    nanousd: int = 0
    in_flight: int = 0

    def advance(self, slot: int, day: int) -> None:
        """Forget the slots that have left the window, and the dollars of another day."""
        self.slot = slot
        while self.slots and (oldest := next(iter(self.slots))) <= slot - SLOTS:
            requests, tokens = self.slots.pop(oldest)
            self.requests -= requests
            self.tokens -= tokens
        if day != self.day:
            self.day, self.nanousd = day, 0

    def add(self, slot: int, requests: int, tokens: int) -> None:
        counts = self.slots.setdefault(slot, [0, 0])
        counts[0] += requests
        counts[1] += tokens
        self.requests += requests
        self.tokens += tokens

    def free_in_s(self, index: int, used: int, limit: int, now_s: float) -> float:
        """Seconds until so many slots have left the window that less than `limit` is used."""
        wait_s = 0.0
        for slot, counts in self.slots.items():
            if used < limit:
                break
            used -= counts[index]
            wait_s = (slot + SLOTS) * SLOT_S - now_s
        return wait_s


class LocalLedger:
    """The ledger of one process. It never waits: `admit` and `record` are `open` and `settle`."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._used: dict[str, _Used] = {}

    def admit(self, hold: Hold) -> Standing:
        now_s = self._clock()
        used = self._of(hold.client, now_s)
        standing = _standing(used, hold.limits, NOTHING, now_s, is_new=True)
        if standing.refused is None:
            tokens, nanousd = hold.use
            hold.slot, hold.day, hold.is_shared = used.slot, used.day, False
            used.add(used.slot, 1, tokens)
            used.nanousd += nanousd
            used.in_flight += 1
        return standing

    def record(self, hold: Hold, used: Use) -> None:
        now_s = self._clock()
        known = self._of(hold.client, now_s)
        known.in_flight = max(0, known.in_flight - 1)
        if not hold.is_counted and hold.slot in known.slots:
            known.add(hold.slot, -1, 0)
        self._change(known, hold, used.minus(hold.use))

    async def open(self, hold: Hold) -> Standing:
        return self.admit(hold)

    async def extend(self, hold: Hold, more: Use) -> Standing:
        now_s = self._clock()
        used = self._of(hold.client, now_s)
        standing = _standing(used, hold.limits, hold.use, now_s, is_new=False)
        if standing.refused is None:
            self._change(used, hold, more)
            hold.use = hold.use.plus(more)
        return standing

    async def settle(self, hold: Hold, used: Use) -> None:
        self.record(hold, used)

    async def add(self, hold: Hold, used: Use) -> None:
        self._change(self._of(hold.client, self._clock()), hold, used)

    def _of(self, client: str, now_s: float) -> _Used:
        used = self._used.get(client)
        if used is None:
            used = self._used[client] = _Used()
        slot = int(now_s // SLOT_S)
        if slot != used.slot:  # a day begins with a slot
            used.advance(slot, int(now_s // DAY_S))
        return used

    @staticmethod
    def _change(used: _Used, hold: Hold, change: Use) -> None:
        """Correct the minute and the day in which the request was counted.

        If they are over, additional use counts now, and nothing is given back.
        """
        tokens, nanousd = change
        if hold.slot in used.slots:
            used.add(hold.slot, 0, tokens)
        elif tokens > 0:
            used.add(used.slot, 0, tokens)
        used.nanousd += nanousd if hold.day == used.day else max(0, nanousd)


def _standing(
    used: _Used, limits: ClientLimits, own: Use, now_s: float, *, is_new: bool
) -> Standing:
    requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
    if is_new and limits.concurrency is not None and used.in_flight >= limits.concurrency:
        return Standing("concurrency", CONCURRENCY_WAIT_S)
    if is_new and requests is not None and used.requests >= requests:
        return Standing("requests", used.free_in_s(0, used.requests, requests, now_s))
    others = used.tokens - own.tokens
    if tokens is not None and others >= tokens:
        return Standing("tokens", used.free_in_s(1, others, tokens, now_s))
    budget = limits.budget_nanousd
    if budget is not None and used.nanousd - own.nanousd >= budget:
        return Standing("budget", (used.day + 1) * DAY_S - now_s)
    requests_left = 0 if requests is None else max(0, requests - used.requests - is_new)
    tokens_left = 0 if tokens is None else max(0, tokens - used.tokens)
    return Standing(None, 0.0, requests_left, tokens_left)
