"""The outcome as one HTML file, to be sent to a colleague as it is."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template

import pandas as pd

from evals import charts
from evals.outcome import Outcome
from evals.reliability import Tally, common_trials, pass_hat
from evals.scores import Result
from evals.tables import by_tag, by_trial, pass_rates
from evals.words import cell, dollars, heading, milliseconds, mistake, passes, points, sentence

_PAGE = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))


def write(outcome: Outcome) -> Path:
    """Put the report beside the run, and say where."""
    path = outcome.run.path.with_suffix(".html")
    path.write_text(page(outcome), encoding="utf-8")
    return path


def page(outcome: Outcome) -> str:
    """Escape a text: questions and answers never become markup."""
    conditions = outcome.run.beginning.conditions
    tags = by_tag(by_trial(outcome.results))
    return _PAGE.substitute(
        name=escape(outcome.run.name),
        conditions=escape(
            f"{conditions.data_set}, asked of {', then '.join(conditions.asked_of)}"
            f"{' in batches' if conditions.batch else ''}"
            f"{' (the mock API)' if conditions.mock else ''}, {datetime.now(UTC):%d %B %Y, %H:%M} UTC"
        ),
        verdict=_verdict(outcome),
        tiles=_tiles(outcome, tags),
        rates=_rates(outcome),
        latencies=charts.latencies(outcome.results),
        history=_history(outcome),
        change=_change(outcome),
        changed=_changed(outcome),
        tags=_tag_table(tags),
        flaky=_flaky(outcome),
        failures=_failures(outcome),
        cases=_rows(_case(result) for result in outcome.results),
    )


def _verdict(outcome: Outcome) -> str:
    if outcome.missed:
        return f'<p class="verdict bad">{escape("; ".join(outcome.missed))}</p>'
    return ""


def _tiles(outcome: Outcome, tags: pd.DataFrame) -> str:
    whole = tags.iloc[0]
    passed = sum(result.passed for result in outcome.results)
    k = common_trials(outcome.tallies)
    asked = f"{passed} of {len(outcome.results)} {'trials' if k > 1 else 'cases'}"
    tokens = sum(result.answer.tokens for result in outcome.results)
    errors = sum(result.answer.error is not None for result in outcome.results)
    tiles = [
        ("passed", f"{outcome.pass_rate:.0%}", asked),
        ("latency", milliseconds(whole["p50_ms"]), f"p95 {milliseconds(whole['p95_ms'])}"),
        ("cost", dollars(whole.get("cost_usd")), f"{tokens:,} tokens"),
        ("errors", str(errors), "answers that cannot be used"),
    ]
    if k > 1:
        share = f"{pass_hat(outcome.tallies, k):.0%}"
        tiles.insert(1, (f"pass^{k}", share, f"{len(outcome.flaky)} flaky cases"))
    if outcome.comparison is not None:
        against = f"points, against {outcome.comparison.against}"
        tiles.insert(1, ("change", points(outcome.comparison.difference), against))
    return "".join(
        f"<div><b>{name}</b><strong>{escape(value)}</strong><span>{escape(more)}</span></div>"
        for name, value, more in tiles
    )


def _rates(outcome: Outcome) -> str:
    before = _before(outcome)
    picture = charts.rates(pass_rates(outcome.results), before)
    mark = "<p>An upright mark is where the tag was in the run before.</p>"
    return f"{picture}{mark if before else ''}"


def _before(outcome: Outcome) -> dict[str, float]:
    if outcome.comparison is None or not outcome.comparison.before:
        return {}
    before = outcome.comparison.before.values()
    return pass_rates([result for tally in before for result in tally.results])


def _history(outcome: Outcome) -> str:
    if len(outcome.history) == 1:
        return "<p>This is the first run of this data set.</p>"
    return charts.history(outcome.history)


def _change(outcome: Outcome) -> str:
    comparison = outcome.comparison
    if comparison is None:
        return "<p>There is no earlier run to compare with.</p>"
    picture = charts.change(comparison) if comparison.common else ""
    return f"<p>{escape(sentence(comparison))}.</p>{picture}"


def _changed(outcome: Outcome) -> str:
    comparison = outcome.comparison
    if comparison is None or not (comparison.better or comparison.worse):
        return ""
    changes = [("worse", tally) for tally in comparison.worse]
    changes += [("better", tally) for tally in comparison.better]
    rows = _rows(
        [
            word,
            tally.case.id,
            *_passes_and_said(comparison.before[tally.case.id]),
            *_passes_and_said(tally),
        ]
        for word, tally in changes
    )
    table = _table(["", "case", "passed before", "answer before", "passed now", "answer now"], rows)
    return f"<section><h2>Worse and better than before</h2>{table}</section>"


def _passes_and_said(tally: Tally) -> tuple[str, str]:
    return passes(tally), _said(tally.telling)


def _flaky(outcome: Outcome) -> str:
    if not outcome.flaky:
        return ""
    rows = _rows(
        [tally.case.id, tally.case.question, _expected(tally), mistake(tally)]
        for tally in outcome.flaky
    )
    table = _table(["case", "question", "expected", "first mistake"], rows)
    return f"<section><h2>Flaky: passed in some trials</h2>{table}</section>"


def _tag_table(tags: pd.DataFrame) -> str:
    columns = ["tag", *(heading(str(column)) for column in tags.columns)]
    rows = (
        [str(tag), *(cell(str(name), value) for name, value in row.items())]
        for tag, row in tags.iterrows()
    )
    return _table(columns, _rows(rows), kind="figures")


def _failures(outcome: Outcome) -> str:
    if not outcome.failures:
        return (
            "<p>Every case passed at least once.</p>"
            if outcome.flaky
            else "<p>Every case passed.</p>"
        )
    rows = _rows(
        [tally.case.id, tally.case.question, _expected(tally), mistake(tally)]
        for tally in outcome.failures
    )
    return _table(["case", "question", "expected", "mistake"], rows)


def _expected(tally: Tally) -> str:
    return tally.case.expect.model_dump_json(exclude_none=True)


def _said(result: Result) -> str:
    return result.answer.error or result.answer.text


def _case(result: Result) -> list[str]:
    return [
        "passed" if result.passed else "failed",
        result.case.id,
        result.case.question,
        _said(result),
        ", ".join(result.answer.contexts),
        milliseconds(result.answer.latency_ms),
        dollars(result.answer.cost_usd),
    ]


def _table(columns: Sequence[str], rows: str, kind: str = "texts") -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(
        "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows
    )
