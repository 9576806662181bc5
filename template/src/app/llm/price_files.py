"""Reads the dated list of prices: the service's own `prices.toml`, and a file that overrides it.

`make prices` writes `prices.toml` from the package genai-prices. That package is not used at run
time: it takes 53 µs per call and 114 ms to import; `PriceList` takes 0.6 µs per call.
"""

import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path

from pydantic import ValidationError

from app.llm.costs import PriceList
from app.validation import lines

_SHIPPED = Path(__file__).with_name("prices.toml")


def current_prices(override: Path | None = None) -> PriceList:
    """The prices shipped with the service; the entries of the file `override` replace them."""
    shipped = _shipped()
    if override is None:
        return shipped
    own = read_prices(override)
    models = {
        provider: shipped.models.get(provider, {}) | own.models.get(provider, {})
        for provider in shipped.models | own.models
    }
    return own.model_copy(update={"models": models, "batch": shipped.batch | own.batch})


@cache
def _shipped() -> PriceList:
    """The shipped list. Reading it takes some milliseconds, so a process reads it once."""
    return read_prices(_SHIPPED)


def read_prices(path: Path) -> PriceList:
    """Read a file such as `prices.toml`. Raises a `ValueError` with the reason."""
    try:
        return parse_prices(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not TOML: it is not text in UTF-8") from error


def parse_prices(text: str) -> PriceList:
    try:
        return PriceList.model_validate(tomllib.loads(text, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from error
    except ValidationError as error:
        raise ValueError(lines(error)[0]) from error


def readable(path: Path) -> Path:
    """Validate a file of prices, so that the service does not start with an invalid one."""
    read_prices(path)
    return path
