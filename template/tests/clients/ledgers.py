"""Requests to a ledger, and a clock, for tests."""

from app.clients.ledger import DAY_S, Hold, Ledger, Use
from app.clients.policy import ClientLimits

NOON_S = 20_000 * DAY_S + 12 * 3600.0
FREE = Use()


class Clock:
    """The wall clock of this process and of the fake Redis."""

    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


def hold(use: Use = FREE, client: str = "acme", **limits: float) -> Hold:
    return Hold(client, ClientLimits(**limits), use)  # type: ignore[arg-type]


async def refused(ledger: Ledger, opened: Hold) -> str | None:
    return (await ledger.open(opened)).refused
