"""How figures are said, in the terminal and in the report alike."""

import math

from evals.comparison import Comparison
from evals.scores import Result
from evals.tables import SCORES

_HEADINGS = {
    "p50_ms": "p50",
    "p95_ms": "p95",
    "cost_usd": "cost",
    "hit": "hits",
    "mrr": "MRR",
    "json": "JSON",
}
_SHOWN_CHARS = 80
_MINUS = "\N{MINUS SIGN}"


def heading(column: str) -> str:
    return _HEADINGS.get(column, column)


def cell(column: str, value: float) -> str:
    """One figure of a table; nothing where it does not apply."""
    if math.isnan(value):
        return ""
    if column == "cases":
        return f"{value:.0f}"
    if column == "cost_usd":
        return dollars(value)
    if column.endswith("_ms"):
        return milliseconds(value)
    return f"{value:.2f}" if column in SCORES else f"{value:.0%}"


def dollars(value: float | None) -> str:
    return "unknown" if value is None else f"${value:.4f}" if value < 1 else f"${value:,.2f}"


def milliseconds(value: float) -> str:
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"  # noqa: PLR2004


def points(share: float) -> str:
    """A difference of two shares, in percentage points."""
    return f"{share * 100:+.1f}".replace("-", _MINUS)


def sentence(comparison: Comparison) -> str:
    if not comparison.common:
        return f"No case in common with {comparison.against}"
    interval = comparison.interval
    return (
        f"Against {comparison.against}, in {comparison.common} common cases:"
        f" {points(comparison.difference)} points"
        f" (95% interval {points(interval.low)} to {points(interval.high)}),"
        f" {len(comparison.better)} better, {len(comparison.worse)} worse"
    )


def wrong(result: Result) -> str:
    """Why a case did not pass, in a line."""
    if result.answer.error is not None:
        return result.answer.error
    low = [f"{heading(name)} {value:.2f}" for name, value in result.scores.items() if value < 1]
    said = " ".join(result.answer.text.split())
    shown = said if len(said) <= _SHOWN_CHARS else said[:_SHOWN_CHARS] + "…"
    return f"{', '.join(low)}; the answer: {shown or '(nothing)'}"
