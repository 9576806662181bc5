"""The pause that a provider asks for, in whichever of the three ways it says it."""

import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

# `float` would also take "inf", "nan" and "1_000".
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
# A number with four hundred digits is infinite as a float, and infinity cannot be sent on as a
# number of seconds. Whether a year is too long is for the retry policy to say.
_LONGEST_S = 365 * 24 * 3600.0


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """`None` when the provider does not say, or says something that is not a time."""
    wait_ms = _number(headers.get("retry-after-ms"))
    if wait_ms is not None:
        return _bounded(wait_ms / 1000)
    wanted = headers.get("retry-after")
    wait_s = _number(wanted)
    if wait_s is None:
        date = _timestamp(wanted)
        wait_s = None if date is None else date - now()
    return None if wait_s is None else _bounded(wait_s)


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _timestamp(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _bounded(wait_s: float) -> float:
    return min(max(wait_s, 0.0), _LONGEST_S)
