"""The pause that a provider asks for: in a header, in the error's fields, or in its message.

The header is the standard (RFC 9110, section 10.2.3). Gateways put the number into the error
instead (`retry_after`, or the headers of the server behind them), Google sends a `retryDelay`,
and Azure and OpenAI write a sentence: "Please retry after 8 seconds".
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from email.utils import parsedate_to_datetime

# `float` would also accept "inf", "nan" and "1_000".
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)
# Our callers receive this pause in our `Retry-After` header and wait for it. So an error of a
# provider (a year, a timestamp) must not make them wait for longer than an hour.
_LONGEST_S = 3600.0

_SECONDS = ("retry_after", "retry_after_s", "retry_after_seconds", "retryAfter", "retryDelay")
_MILLISECONDS = ("retry_after_ms", "retryAfterMs")
_UNITS_S = {"": 1.0, "milli": 0.001, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# A duration in a field: "7", "11s", "1m30s".
_DURATION = re.compile(r"\d+(\.\d+)?((ms|[smh])(\d+(\.\d+)?(ms|[smh]))*)?", re.ASCII)
# A duration in a sentence has units, perhaps whole words: "6m0s", "1.5 seconds".
_WITH_UNIT = r"\d+(?:\.\d+)?\s?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h)"
_SENTENCE = re.compile(
    r"\b(?:try again|retry|wait)(?: in| after| for)?(?: about| at least)? "
    rf"((?:{_WITH_UNIT}\s?){{1,4}})(?!\w)",
    re.ASCII | re.IGNORECASE,
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?(milli|ms|s|m|h|)", re.ASCII | re.IGNORECASE)
# Sentences about the pause come early. Later a provider may repeat the caller's text.
_READ_CHARS = 300
# LiteLLM gives the headers of the provider behind it another name.
_BEHIND_LITELLM = "llm_provider-retry-after"


def retry_after_s(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """The requested pause in seconds; `None` without a header, or with an invalid one."""
    wait_ms = _number(headers.get("retry-after-ms"))
    if wait_ms is not None:
        return _bounded(wait_ms / 1000)
    wanted = headers.get("retry-after", headers.get(_BEHIND_LITELLM))
    wait_s = _number(wanted)
    if wait_s is None:
        date = _timestamp(wanted)
        wait_s = None if date is None else date - now()
    return None if wait_s is None else _bounded(wait_s)


def told_pause_s(levels: Iterable[Mapping[str, object]], message: str) -> float | None:
    """The pause in seconds that the objects of an error or its message ask for, if they do."""
    for level in levels:
        if (wait_s := _in_fields(level)) is not None:
            return wait_s
    return _in_sentence(message[:_READ_CHARS])


def _in_fields(level: Mapping[str, object]) -> float | None:
    for field in _SECONDS:
        if (wait_s := _duration(level.get(field))) is not None:
            return _bounded(wait_s)
    for field in _MILLISECONDS:
        if (wait_ms := _duration(level.get(field))) is not None:
            return _bounded(wait_ms / 1000)
    headers = level.get("headers")
    if not isinstance(headers, Mapping):
        return None
    return retry_after_s({str(name).lower(): str(value) for name, value in headers.items()})


def _duration(value: object) -> float | None:
    """Seconds of a number, of its text, or of a duration such as "11s" and "1m30s"."""
    if isinstance(value, str):
        text = value.strip()
        return _seconds(text) if _DURATION.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(min(value, _LONGEST_S * 1000))


def _in_sentence(message: str) -> float | None:
    found = _SENTENCE.search(message)
    return None if found is None else _bounded(_seconds(found[1]))


def _seconds(text: str) -> float:
    return sum(float(number) * _UNITS_S[unit.lower()] for number, unit in _PART.findall(text))


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _timestamp(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _bounded(wait_s: float) -> float:
    return min(max(wait_s, 0.0), _LONGEST_S)
