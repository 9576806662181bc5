"""What one request of a client reserves and uses, while it runs.

`current_account` is the account of the request that the running code belongs to. The guards of model
calls find it there.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

from app.clients.ledger import NOTHING, Hold, Ledger, Limit, LocalLedger, Standing, Use
from app.clients.policy import NO_LIMITS, ClientLimits
from app.errors import BudgetSpentError, ClientLimitError

# The name of all callers together, if clients need no key.
ANONYMOUS = "anonymous"

# Late charges; asyncio itself keeps no reference to a task.
_late: set[asyncio.Task[None]] = set()


class Account:
    """The reservation of one request, and what its calls have used so far.

    Numbers of tokens and dollars (in units of 1e-9) are changed in place: each request changes them
    six times. Without a `ledger` nothing is recorded, because the client has no limits.
    """

    __slots__ = (
        "_covering",
        "_hold",
        "_is_settled",
        "_ledger",
        "_local",
        "_running_nanousd",
        "_running_tokens",
        "_used_nanousd",
        "_used_tokens",
        "limits",
        "reserves",
        "standing",
    )

    def __init__(self, ledger: Ledger | None, hold: Hold, standing: Standing) -> None:
        self.limits = hold.limits
        self.reserves = ledger is not None and hold.limits.counts_use
        self.standing = standing
        self._ledger = ledger
        self._local = ledger if isinstance(ledger, LocalLedger) else None
        self._hold = hold
        self._used_tokens = self._used_nanousd = 0
        self._running_tokens = self._running_nanousd = 0  # the estimates of the calls that run now
        self._covering: asyncio.Lock | None = None  # most requests need no extension
        self._is_settled = False

    @property
    def used(self) -> Use:
        return Use(self._used_tokens, self._used_nanousd)

    def begin(self, estimate: Use) -> bool:
        """Count a call that begins. Returns `False` if the reservation does not cover it.

        After `False` call `extend`. Call `end` for each call that began.
        """
        tokens, nanousd = estimate
        self._running_tokens += tokens
        self._running_nanousd += nanousd
        reserved = self._hold.use
        return (
            self._used_tokens + self._running_tokens <= reserved[0]
            and self._used_nanousd + self._running_nanousd <= reserved[1]
        )

    async def extend(self) -> None:
        """Reserve the missing part, or raise `ClientLimitError`.

        One at a time: the calls of a batch would otherwise each reserve for all of them.
        """
        self._covering = self._covering or asyncio.Lock()
        async with self._covering:
            more = self._uncovered()
            if more and self._ledger is not None:
                raise_if_refused(self._hold, await self._ledger.extend(self._hold, more))

    def end(self, estimate: Use) -> None:
        self._running_tokens -= estimate[0]
        self._running_nanousd -= estimate[1]

    def charge(self, used: Use) -> None:
        """Add the use of an attempt, also of one that ends after its request."""
        if not self._is_settled:
            self._used_tokens += used[0]
            self._used_nanousd += used[1]
        elif self._ledger is not None:
            task = asyncio.get_running_loop().create_task(self._ledger.add(self._hold, used))
            _late.add(task)
            task.add_done_callback(_late.discard)

    def uncount(self) -> None:
        """Take the request out of the minute, unless one of its calls has used something."""
        if not (self._is_settled or self.used):
            self._hold.is_counted = False
            left = self.standing.requests_left + 1
            self.standing = self.standing._replace(requests_left=left)

    def settle_at_once(self) -> bool:
        """Settle, if that needs no waiting. `False`: `settle` has to."""
        if not self._is_settled:
            if self._local is not None:
                self._local.record(self._hold, self.used)
            elif self._ledger is not None:
                return False
            self._is_settled = True
        return True

    async def settle(self) -> None:
        """Replace the reservation by the use. Further calls of this have no effect."""
        if not self.settle_at_once() and self._ledger is not None:
            self._is_settled = True
            await self._ledger.settle(self._hold, self.used)

    def _uncovered(self) -> Use:
        running = Use(self._running_tokens, self._running_nanousd)
        return self.used.plus(running).beyond(self._hold.use)


class Accounts:
    """Opens an account for each request. `estimate` is the use to expect of a body of this size."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        defaults: ClientLimits,
        clients: Mapping[str, ClientLimits],
        estimate: Callable[[int], Use],
    ) -> None:
        self._ledger = ledger
        self._local = ledger if isinstance(ledger, LocalLedger) else None
        self._defaults = _known(NO_LIMITS.over(defaults))
        self._clients = {name: _known(limits.over(defaults)) for name, limits in clients.items()}
        self._estimate = estimate

    def limits(self, client: str) -> ClientLimits:
        return self._clients.get(client, self._defaults)

    async def open(self, client: str, body_bytes: int) -> Account:
        """Reserve an estimate for a request. Raises `ClientLimitError` if a limit is reached."""
        limits = self.limits(client)
        if limits is NO_LIMITS:
            return Account(None, Hold(client, limits), _FREE)
        hold = Hold(client, limits, self._estimate(body_bytes) if limits.counts_use else NOTHING)
        local = self._local
        standing = await self._ledger.open(hold) if local is None else local.admit(hold)
        if standing.refused is not None:
            raise_if_refused(hold, standing)
        return Account(self._ledger, hold, standing)

    async def charge(self, client: str, used: Use) -> None:
        """Record a use that no request of the client has reserved, such as that of a batch."""
        limits = self.limits(client)
        if limits is not NO_LIMITS:
            await self._ledger.add(Hold(client, limits, is_shared=True), used)


def _known(limits: ClientLimits) -> ClientLimits:
    return NO_LIMITS if limits == NO_LIMITS else limits


_FREE = Standing()


def raise_if_refused(hold: Hold, standing: Standing) -> None:
    limits, refused = hold.limits, standing.refused
    if refused == "budget":
        renews_at = _next_midnight()
        raise BudgetSpentError(
            f"The budget of {limits.budget_usd_per_day:g} USD a day is spent. "
            f"It renews at {renews_at}.",
            limit=refused,
            renews_at=renews_at,
            retry_after_s=standing.wait_s,
        )
    if refused is not None:
        raise ClientLimitError(
            f"{_TEXTS[refused](limits)} Try again in {math.ceil(standing.wait_s)} s.",
            limit=refused,
            retry_after_s=standing.wait_s,
        )


_TEXTS: Mapping[Limit, Callable[[ClientLimits], str]] = {
    "concurrency": lambda limits: f"{limits.concurrency} requests are in progress, the maximum.",
    "requests": lambda limits: f"The limit of {limits.requests_per_minute} requests a minute is reached.",
    "tokens": lambda limits: f"The limit of {limits.tokens_per_minute} tokens a minute is reached.",
}


def _next_midnight() -> str:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return f"{tomorrow.isoformat()}T00:00:00Z"


current_account: ContextVar[Account | None] = ContextVar("current_account", default=None)


def uncount_request() -> None:
    """Do not count the running request for its client: the service refuses it, and sent nothing."""
    account = current_account.get()
    if account is not None:
        account.uncount()
