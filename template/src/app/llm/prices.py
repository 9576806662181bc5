"""Computes the cost of a call from a dated list of prices. An unknown price is None.

A model is found by its exact name, or by its name without the date of the snapshot
(`gpt-5-mini-2025-08-07`, `claude-haiku-4-5-20251001`). A name that only begins like a known model's
(`gpt-5-mini-fast`) is another model with another price. An entry with a date wins over an entry
without one. Each provider has its own prices, because the same model can cost more elsewhere. There
is one exception: a name with a vendor prefix (`openai/gpt-5-mini`) at the provider "openai" or
"anthropic" has the price of OpenRouter.

`make prices` writes `prices.toml` from the package genai-prices. That package is not used at run
time: it takes 53 µs per call and 114 ms to import; this module takes 0.6 µs per call.
"""

import re
import tomllib
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt, Le
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    with_config,
)
from typing_extensions import TypedDict  # pydantic requires this one before Python 3.12

from app.llm.batch import BATCH_TIER
from app.llm.providers.policy import vendor
from app.llm.types import Usage
from app.validation import lines

_SHIPPED = Path(__file__).with_name("prices.toml")
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
_PICODOLLARS = 1_000_000_000_000

# OpenRouter and other gateways offer these APIs, with model names that have a vendor prefix.
_IMITATED = frozenset({"openai", "anthropic"})
_GATEWAY = "openrouter"


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

    @classmethod
    def read(cls, path: Path) -> "PriceList":
        """Read a file such as `prices.toml`. Raises a `ValueError` with the reason."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ValueError("is not TOML: it is not text in UTF-8") from error

    @classmethod
    def parse(cls, text: str) -> "PriceList":
        try:
            return cls.model_validate(tomllib.loads(text, parse_float=Decimal))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"is not TOML: {error}") from error
        except ValidationError as error:
            raise ValueError(lines(error)[0]) from error

    @classmethod
    def current(cls, override: Path | None = None) -> "PriceList":
        """The prices shipped with the service; the entries of the file `override` replace them."""
        shipped = _shipped()
        if override is None:
            return shipped
        own = cls.read(override)
        models = {
            provider: shipped.models.get(provider, {}) | own.models.get(provider, {})
            for provider in shipped.models | own.models
        }
        return own.model_copy(update={"models": models, "batch": shipped.batch | own.batch})

    def cost_usd(self, provider: str, model: str, usage: Usage) -> float | None:
        """The cost of this usage, or None if the usage or a price in it is unknown."""
        price = self._price(provider, model)
        share = self._share(provider, usage.service_tier)
        if price is None or share is None or not usage.is_known:
            return None
        rates = _rates(price, usage.prompt_tokens)
        total = 0
        for tokens, rate in _billed(usage, rates):
            if tokens:
                if rate is None:
                    return None
                total += tokens * rate
        return float(total * share) / _PICODOLLARS

    def _share(self, provider: str, service_tier: str | None) -> Decimal | int | None:
        """The share of the standard rates that a service tier costs, if it is known."""
        if service_tier is None:
            return 1
        return self.batch.get(vendor(provider)) if service_tier == BATCH_TIER else None

    def _price(self, provider: str, model: str) -> Price | None:
        name = vendor(provider)
        if "/" in model and name in _IMITATED:
            name = _GATEWAY
        prices = self.models.get(name, {})
        return prices.get(model) or prices.get(_SNAPSHOT.sub("", model))


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


@cache
def _shipped() -> PriceList:
    """The shipped list. Reading it takes some milliseconds, so a process reads it once."""
    return PriceList.read(_SHIPPED)


def readable(path: Path) -> Path:
    """Validate a file of prices, so that the service does not start with an invalid one."""
    PriceList.read(path)
    return path


NO_PRICES = PriceList(as_of=date.min, models={})
