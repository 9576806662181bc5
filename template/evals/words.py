"""How figures are said, in the terminal and in the report alike."""

import math
from collections.abc import Sequence

from evals.comparison import Comparison
from evals.reliability import Tally, common_trials, pass_hat
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
    sure = " beyond chance" if comparison.repeated else ""
    unsure = f", {len(comparison.unsure)} within chance" if comparison.repeated else ""
    return (
        f"Against {comparison.against}, in {comparison.common} common cases:"
        f" {points(comparison.difference)} points"
        f" (95% interval {points(interval.low)} to {points(interval.high)}),"
        f" {len(comparison.better)} better, {len(comparison.worse)} worse{sure}{unsure};"
        f" together {chance(comparison)}"
    )


def chance(comparison: Comparison) -> str:
    side = "beyond" if comparison.is_beyond_chance else "within"
    return f"{side} chance (p = {comparison.p_value:.2g})"


def reliability(counted: Sequence[Tally]) -> str:
    """pass@1 and pass^k, with the counts."""
    k = common_trials(counted)
    passes, trials = (
        sum(each) for each in zip(*((t.passes, t.trials) for t in counted), strict=True)
    )
    always = sum(tally.passes == tally.trials for tally in counted)
    return (
        f"pass@1 {passes / trials:.1%} ({passes} of {trials} trials),"
        f" pass^{k} {pass_hat(counted, k):.1%} ({always} of {len(counted)} cases in all their trials)"
    )


def passes(tally: Tally) -> str:
    return f"{tally.passes} of {tally.trials}"


def mistake(tally: Tally) -> str:
    """Why a case did not pass, in a line; with the number of passes if it was asked several times."""
    counted = f"{passes(tally)} passed; " if tally.trials > 1 else ""
    return f"{counted}{_wrong(tally.telling)}"


def _wrong(result: Result) -> str:
    if result.answer.error is not None:
        return result.answer.error
    low = [f"{heading(name)} {value:.2f}" for name, value in result.scores.items() if value < 1]
    said = " ".join(result.answer.text.split())
    shown = said if len(said) <= _SHOWN_CHARS else said[:_SHOWN_CHARS] + "…"
    return f"{', '.join(low)}; the answer: {shown or '(nothing)'}"
