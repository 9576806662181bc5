"""Which clients may call the service, and how much each of them may use."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import BeforeValidator

from app.clients.keys import ClientKey, parse_keys

PerMinute = Annotated[int, Ge(1), Le(1_000_000_000)]


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """The limits of one client; `None` means no limit."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    concurrency: Annotated[int, Ge(1), Le(10_000)] | None = None
    budget_usd_per_day: Annotated[float, Gt(0), Le(1_000_000)] | None = None

    @property
    def budget_nanousd(self) -> int | None:
        """The budget in units of 1e-9 US dollars. Integers add up exactly."""
        budget = self.budget_usd_per_day
        return None if budget is None else _nanousd(budget)

    @property
    def counts_use(self) -> bool:
        """Whether tokens or dollars are limited, so that a request has to reserve them."""
        return self.tokens_per_minute is not None or self.budget_usd_per_day is not None

    def over(self, defaults: "ClientLimits") -> "ClientLimits":
        """These limits, with `defaults` for those that are `None`."""
        own = {name: getattr(self, name) for name in LIMITS}
        given = {name: value for name, value in own.items() if value is not None}
        return replace(ClientLimits(**{name: getattr(defaults, name) for name in LIMITS}), **given)


@lru_cache(maxsize=1024)
def _nanousd(usd: float) -> int:
    return round(usd * 1_000_000_000)


LIMITS = tuple(field.name for field in fields(ClientLimits))
NO_LIMITS = ClientLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class OneClient(ClientLimits):
    """The settings of one client: its limits, and its weight in the queue for connections.

    With all connections busy, a client of weight 2 gets twice as many of them as one of weight 1, the
    default.
    """

    weight: Annotated[int, Ge(1), Le(100)] | None = None


OF_ONE_CLIENT = tuple(field.name for field in fields(OneClient))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPolicy(ClientLimits):
    """The keys of all clients, and the default limits of a client.

    `auth` is `None` by default: a key is required if there are keys.
    """

    auth: Annotated[Literal["required", "off"], BeforeValidator(_lower)] | None = None
    keys: Annotated[tuple[ClientKey, ...], BeforeValidator(parse_keys)] | None = None

    @property
    def is_key_required(self) -> bool:
        return self.auth == "required" or (self.auth is None and bool(self.keys))

    @property
    def has_accounts(self) -> bool:
        """Whether the use of clients is counted: they have names, or there are limits for all."""
        return self.is_key_required or any(getattr(self, name) is not None for name in LIMITS)
