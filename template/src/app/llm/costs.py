"""What a call used and cost: the tokens of an answer, their prices, and the receipt of all attempts.

An unknown price is None. A model is found by its exact name, or by its name without the date of the
snapshot (`gpt-5-mini-2025-08-07`, `claude-haiku-4-5-20251001`). A name that only begins like a known
model's (`gpt-5-mini-fast`) is another model with another price. An entry with a date wins over an
entry without one. Each provider has its own prices, because the same model can cost more elsewhere.
There is one exception: a name with a vendor prefix (`openai/gpt-5-mini`) at the provider "openai" or
"anthropic" has the price of OpenRouter.

`app.llm.price_files` reads the prices.
"""

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from operator import not_
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    with_config,
)
from typing_extensions import TypedDict  # pydantic requires this one before Python 3.12

# The service tier of an answer from a provider's batch, which decides its price.
BATCH_TIER = "batch"

_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
_PICODOLLARS = 1_000_000_000_000

# OpenRouter and other gateways offer these APIs, with model names that have a vendor prefix.
_IMITATED = frozenset({"openai", "anthropic"})
_GATEWAY = "openrouter"


class Usage(BaseModel):
    """Tokens as the provider counts them. All zeros mean that the provider did not report them.

    Tokens read from or written to the provider's prompt cache are part of `prompt_tokens` and have
    other prices. For written ones, some providers report how many are kept for five minutes and how
    many for an hour. Reasoning tokens are part of `completion_tokens`. `service_tier` is a tier
    with its own prices (priority, flex, batch). In JSON these fields appear only if they have a
    value.
    """

    model_config = ConfigDict(frozen=True)

    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    total_tokens: NonNegativeInt
    cached_prompt_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    cache_write_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    cache_write_5m_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    cache_write_1h_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    reasoning_tokens: NonNegativeInt = Field(default=0, exclude_if=not_)
    service_tier: str | None = Field(default=None, exclude_if=not_)

    @property
    def is_known(self) -> bool:
        """Whether the provider reported the usage."""
        return self.prompt_tokens > 0 or self.completion_tokens > 0

    @property
    def by_kind(self) -> dict[str, int]:
        """The tokens of the prompt and the completion, and the special kinds that are part of them."""
        kinds = {"prompt": self.prompt_tokens, "completion": self.completion_tokens}
        if self.cached_prompt_tokens:
            kinds["cached_prompt"] = self.cached_prompt_tokens
        if self.cache_write_tokens:
            kinds["cache_write"] = self.cache_write_tokens
        if self.reasoning_tokens:
            kinds["reasoning"] = self.reasoning_tokens
        return kinds

    def plus(self, other: "Usage") -> "Usage":
        counts = {
            name: value + getattr(other, name) for name, value in self if isinstance(value, int)
        }
        return Usage(**counts, service_tier=self.service_tier or other.service_tier)


# The reason why a cost is unknown: the model has no price; the answer had no usage; or the attempt
# ended before the provider reported the whole usage.
UnknownCost = Literal[
    "no_price", "no_usage", "timed_out", "interrupted", "malformed", "cancelled", "unexpected"
]


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The reported part of an answer that broke off and that no caller gets.

    `final`: `usage` is the whole cost of the answer. `characters`: the length of the received text.
    """

    usage: Usage | None
    final: bool = False
    characters: int = 0


@dataclass(slots=True)
class Receipt:
    """The duration and cost of all attempts of one call, as far as the provider reported them.

    It is passed down with the request, because a cancelled attempt has no answer and no error that
    could return it. The provider's client writes `broken_off` for the attempt in progress.
    """

    broken_off: BrokenOff | None = None
    attempts: int = 0
    provider_s: float = 0.0
    usage: Usage | None = None
    cost_usd: float | None = None
    answer_cost_usd: float | None = None  # of the last attempt alone
    unknown: list[UnknownCost] = field(default_factory=list)
    characters: int = 0  # of received text, if its tokens are not in `usage`

    def charge(self, usage: Usage, cost_usd: float | None) -> None:
        """Add the cost of an attempt."""
        self.usage = usage if self.usage is None else self.usage.plus(usage)
        self.answer_cost_usd = cost_usd
        if cost_usd is not None:
            self.cost_usd = cost_usd + (self.cost_usd or 0.0)


def _per_token(dollars_per_million: object) -> object:
    """Convert to a price per token in units of 1e-12 dollars.

    Integers add up exactly: a cost of 0.00002425 does not become 0.000024249999999999997.
    """
    if not isinstance(dollars_per_million, int | Decimal):
        return dollars_per_million
    return dollars_per_million * 1_000_000


_Share = Annotated[Decimal, Ge(0), Le(1)]
_Amount = Annotated[int, Ge(0), BeforeValidator(_per_token)]


@with_config(ConfigDict(extra="forbid"))
class Rates(TypedDict, total=False):
    """Prices per token; in the file, US dollars per million tokens. A missing price is unknown."""

    prompt: _Amount
    cached_prompt: _Amount
    cache_write: _Amount  # for five minutes, or for the provider's default time
    cache_write_1h: _Amount
    completion: _Amount


class Tier(Rates):
    """All rates of a request with a prompt of more tokens than `above`."""

    above: Annotated[int, Gt(0)]


def _ascending(tiers: list[Tier]) -> list[Tier]:
    starts = [tier["above"] for tier in tiers]
    if starts != sorted(set(starts)):
        raise ValueError("each tier must begin above the one before it")
    return tiers


class Price(Rates, total=False):
    """The rates of a model. For long prompts, the rates of a tier replace all of them."""

    tiers: Annotated[list[Tier], AfterValidator(_ascending)]


class PriceList(BaseModel):
    """Prices by provider and model, valid on a date.

    `batch` is the share of all rates that a request in a batch of a provider costs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    batch: dict[str, _Share] = Field(default_factory=dict)
    models: dict[str, dict[str, Price]]

    def cost_usd(self, provider: str, model: str, usage: Usage) -> float | None:
        """The cost of this usage, or None if the usage or a price in it is unknown."""
        vendor = provider.removesuffix("-sdk")  # the prices are those of the SDK's vendor
        seller = _GATEWAY if "/" in model and vendor in _IMITATED else vendor
        prices = self.models.get(seller, {})
        price = prices.get(model) or prices.get(_SNAPSHOT.sub("", model))
        if price is None or not usage.is_known:
            return None
        share = 1 if usage.service_tier is None else self._share(vendor, usage.service_tier)
        total = _picodollars(price, usage)
        return None if share is None or total is None else float(total * share) / _PICODOLLARS

    def _share(self, vendor: str, service_tier: str) -> Decimal | None:
        """The share of the standard rates that a service tier costs, if it is known."""
        return self.batch.get(vendor) if service_tier == BATCH_TIER else None


def _picodollars(price: Price, usage: Usage) -> int | None:
    """The price of all tokens, or None if one of the rates is unknown."""
    total = 0
    for tokens, rate in _billed(usage, _rates(price, usage.prompt_tokens)):
        if tokens:
            if rate is None:
                return None
            total += tokens * rate
    return total


def _rates(price: Price, prompt_tokens: int) -> Rates:
    """The rates of the highest tier below the prompt's size; they apply to all of its tokens."""
    found: Rates = price
    for tier in price.get("tiers", ()):
        if prompt_tokens > tier["above"]:
            found = tier
    return found


def _billed(usage: Usage, rates: Rates) -> tuple[tuple[int, int | None], ...]:
    """Pairs of tokens and rate; each token counts once. Reasoning has the completion's rate."""
    cached, written = usage.cached_prompt_tokens, usage.cache_write_tokens
    parts = (
        (usage.prompt_tokens - cached - written, rates.get("prompt")),
        (cached, rates.get("cached_prompt")),
        (usage.completion_tokens, rates.get("completion")),
    )
    return (*parts, *_writes(usage, rates)) if written else parts


def _writes(usage: Usage, rates: Rates) -> tuple[tuple[int, int | None], ...]:
    """Tokens written to the cache, with rates. A rate is None if it depends on an unknown time."""
    short, long = usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    unsaid = None if "cache_write_1h" in rates else rates.get("cache_write")
    return (
        (short, rates.get("cache_write")),
        (long, rates.get("cache_write_1h")),
        (usage.cache_write_tokens - short - long, unsaid),
    )


NO_PRICES = PriceList(as_of=date.min, models={})
