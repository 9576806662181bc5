"""Results as data frames: a row per trial of a case, and a row per tag."""

from collections.abc import Sequence

import pandas as pd

from evals.scores import Result

EVERYTHING = "all cases"  # no tag has a space in it
SCORES = ("exact", "contains", "json", "fields", "hit", "mrr")


def by_trial(results: Sequence[Result]) -> pd.DataFrame:
    """A row per trial: the case, whether it passed, its scores, latency, cost and tokens.

    A score that does not apply and a cost that is not known are NaN.
    """
    rows = [
        {
            "id": result.case.id,
            "kind": result.case.kind,
            "tags": result.case.tags,
            "passed": result.passed,
            "error": result.answer.error is not None,
            **{name: result.scores.get(name) for name in SCORES},
            "latency_ms": result.answer.latency_ms,
            "cost_usd": result.answer.cost_usd,
            "tokens": result.answer.tokens,
        }
        for result in results
    ]
    numbers = dict.fromkeys([*SCORES, "latency_ms", "cost_usd"], "float64")
    return pd.DataFrame(rows).astype(numbers)


def by_tag(trials: pd.DataFrame) -> pd.DataFrame:
    """A row per tag, and first one for all cases. Scores are means over the trials that have them.

    `passed` is the share of trials. A case with two tags is in both rows, so the rows do not add up to the first one.
    """
    whole = trials.assign(tag=EVERYTHING)
    tagged = trials.explode("tags").rename(columns={"tags": "tag"}).dropna(subset="tag")
    rows = pd.concat([whole.drop(columns="tags"), tagged]).groupby("tag", sort=False)
    table = pd.DataFrame(
        {
            "cases": rows["id"].nunique(),
            "passed": rows["passed"].mean(),
            **{name: rows[name].mean() for name in SCORES},
            "p50_ms": rows["latency_ms"].quantile(0.5),
            "p95_ms": rows["latency_ms"].quantile(0.95),
            "cost_usd": rows["cost_usd"].sum(min_count=1),
        }
    )
    return table.loc[[EVERYTHING, *sorted(table.index.drop(EVERYTHING))]].dropna(axis=1, how="all")


def pass_rates(results: Sequence[Result]) -> dict[str, float]:
    """Of all cases and of each tag, in the order of `by_tag`."""
    rates = by_tag(by_trial(results))["passed"]
    return {str(tag): float(rate) for tag, rate in rates.items()}
