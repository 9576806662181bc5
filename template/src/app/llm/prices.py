"""What a call costs, from a dated list of prices. A price that is not known is None, never a guess.

A model is found by its exact name, or by its name without the date of its snapshot
(`gpt-5-mini-2025-08-07`, `claude-haiku-4-5-20251001`), and in no other way: what only begins like a
known model (`gpt-5-mini-fast`) has a price of its own. An entry with a date wins over the one
without. Providers are kept apart, because the same name elsewhere is another bill.
"""

import re
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from annotated_types import Ge
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.policy import vendor
from app.llm.types import Usage

_SHIPPED = Path(__file__).with_name("prices.toml")
_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
_PICODOLLARS = 1_000_000_000_000


def _per_token(dollars_per_million: object) -> object:
    """Keep a price per token in units of 1e-12 dollars.

    Whole numbers add up exactly: a cost of 0.00002425 does not become 0.000024249999999999997.
    """
    if not isinstance(dollars_per_million, int | Decimal):
        return dollars_per_million
    return dollars_per_million * 1_000_000


_Amount = Annotated[int, Ge(0), BeforeValidator(_per_token)]


@with_config(ConfigDict(extra="forbid"))
class Price(TypedDict, total=False):
    """Of a token. In a file it is US dollars per million. What is left out is not known."""

    prompt: _Amount
    cached_prompt: _Amount
    completion: _Amount


class PriceList(BaseModel):
    """Prices by provider and model, as of a day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    models: dict[str, dict[str, Price]]

    @classmethod
    def read(cls, path: Path) -> "PriceList":
        """Read a file like `prices.toml`; a `ValueError` says what is wrong with it."""
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
            return cls.model_validate(content)
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{place}: {first['msg']}") from error
        except ValueError as error:  # not TOML, or not even text
            raise ValueError(f"is not TOML: {error}") from error

    @classmethod
    def current(cls, override: Path | None = None) -> "PriceList":
        """The prices that the service ships; an entry of `override` comes before its own."""
        shipped = cls.read(_SHIPPED)
        if override is None:
            return shipped
        own = cls.read(override)
        models = {
            provider: shipped.models.get(provider, {}) | own.models.get(provider, {})
            for provider in shipped.models | own.models
        }
        return own.model_copy(update={"models": models})

    def cost_usd(self, provider: str, model: str, usage: Usage) -> float | None:
        """What this usage costs, or None when a price that it needs is not known.

        Writing to a provider's prompt cache has prices of its own, which depend on how long it is
        kept: this service never asks for it, so who does it elsewhere gets no guess.
        """
        price = self._price(provider, model)
        if price is None or usage.cache_write_tokens:
            return None
        parts = (
            (usage.prompt_tokens - usage.cached_prompt_tokens, price.get("prompt")),
            (usage.cached_prompt_tokens, price.get("cached_prompt")),
            (usage.completion_tokens, price.get("completion")),
        )
        total = 0
        for tokens, amount in parts:
            if tokens and amount is None:
                return None
            total += tokens * (amount or 0)
        return total / _PICODOLLARS

    def _price(self, provider: str, model: str) -> Price | None:
        prices = self.models.get(vendor(provider), {})
        return prices.get(model) or prices.get(_SNAPSHOT.sub("", model))


def readable(path: Path) -> Path:
    """Refuse a file of prices that cannot be used, before anything starts."""
    PriceList.read(path)
    return path


NO_PRICES = PriceList(as_of=date.min, models={})
