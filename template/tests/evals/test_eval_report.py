import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from evals.cases import Expect
from evals.gates import Gates
from evals.outcome import Outcome, outcome
from evals.report import page, write
from evals.scores import score
from evals.tables import EVERYTHING, by_tag, by_trial
from evals.terminal import show
from tests.evals.examples import answer, case, failure, run

GREETING, JSON, FOUND = (
    case("greeting", tags=["chat", "short"]),
    case("json", tags=["short"], expect=Expect(json_schema={"type": "object"})),
    case("found", kind="ask", expect=Expect(documents=["a.md"])),
)
CASES = [GREETING, JSON, FOUND]


@pytest.fixture
def ended(tmp_path: Path) -> Outcome:
    """The greeting passed and did not before; the JSON is broken and was not; the rest as before."""
    before = run(
        tmp_path / "monday.jsonl",
        answer(GREETING, "no"),
        answer(JSON, "{}"),
        answer(FOUND, contexts=["a.md#1"]),
    )
    now = run(
        tmp_path / "tuesday.jsonl",
        answer(GREETING, latency_ms=1500),
        answer(JSON, "<script>alert(1)</script>"),
        answer(FOUND, contexts=["b.md#1", "a.md#1"]),
    )
    return outcome(now, CASES, [before], before, Gates(min_pass=0.9))


def test_a_tag_has_the_means_of_its_cases() -> None:
    results = [
        score(GREETING, answer(GREETING, latency_ms=10)),
        score(JSON, answer(JSON, "no JSON", latency_ms=30)),
        score(FOUND, answer(FOUND, contexts=["b.md", "a.md"], latency_ms=20)),
    ]
    table = by_tag(by_trial(results))
    assert list(table.index) == [EVERYTHING, "chat", "short"]
    assert table["cases"].tolist() == [3, 1, 2]
    assert table["passed"].tolist() == pytest.approx([2 / 3, 1, 1 / 2])
    assert table["p50_ms"].tolist() == [20, 10, 20]
    assert table["cost_usd"].tolist() == pytest.approx([0.003, 0.001, 0.002])
    assert table.loc[EVERYTHING, "mrr"] == pytest.approx(0.5)
    assert table["json"].isna().tolist() == [False, True, False]
    assert "exact" not in table  # no case expects it


def test_an_unknown_price_is_no_price_of_zero() -> None:
    unpriced = answer(GREETING).model_copy(update={"cost_usd": None})
    assert "cost_usd" not in by_tag(by_trial([score(GREETING, unpriced)]))


def test_the_report_needs_nothing_but_itself(ended: Outcome) -> None:
    text = write(ended).read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=|url\(|@import|<script""", text)
    assert "$" not in re.sub(r"\$[0-9]", "", text)  # no placeholder is left
    assert "default-src 'none'" in text


def test_a_models_text_is_escaped_in_the_report(ended: Outcome) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page(ended)


def test_every_picture_is_well_formed_and_has_a_description(ended: Outcome) -> None:
    texts = re.findall(r"<svg.*?</svg>", page(ended))
    pictures = [ET.fromstring(text) for text in texts]  # noqa: S314 - our own
    assert [picture.get("aria-label", "").partition(",")[0] for picture in pictures] == [
        "Share of the cases that passed",
        "Latency of each case",
        "Difference of the pass rates",
        "Pass rate of the last runs",
    ]
    assert len(pictures[1].findall("circle")) == len(CASES)


def test_the_report_lists_worsened_cases_before_improved_ones(ended: Outcome) -> None:
    changes = page(ended).partition("Worse and better than before")[2]
    rows = re.findall(r"<td>(worse|better)</td><td>(\w+)</td>", changes)
    assert rows == [("worse", "json"), ("better", "greeting")]


def test_a_first_run_has_a_report_as_well(ended: Outcome) -> None:
    first = outcome(ended.run, CASES, [], None, Gates())
    assert "There is no earlier run to compare with." in page(first)
    assert "This is the first run of this data set." in page(first)


def test_only_a_report_that_compares_explains_the_marks_of_the_run_before(ended: Outcome) -> None:
    first = outcome(ended.run, CASES, [], None, Gates())
    assert "An upright mark" in page(ended)
    assert "An upright mark" not in page(first)


def test_a_report_of_failures_alone_can_be_drawn(tmp_path: Path) -> None:
    failed = run(tmp_path / "run.jsonl", failure(GREETING, paid=False))
    ended = outcome(failed, [GREETING], [], None, Gates())
    assert ended.is_empty
    assert "ProviderTimeoutError: too slow" in page(ended)


@pytest.fixture
def repeated(tmp_path: Path) -> Outcome:
    """The greeting is flaky, the JSON always fails, the document is always found."""
    answers = [
        answer(to, text, trial=trial, contexts=["a.md#1"])
        for to, texts in ((GREETING, ("yes", "no")), (JSON, ("no", "no")), (FOUND, ("", "")))
        for trial, text in enumerate(texts, start=1)
    ]
    return outcome(run(tmp_path / "run.jsonl", *answers), CASES, [], None, Gates())


def test_the_terminal_names_flaky_cases_and_has_both_rates(repeated: Outcome) -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    show(repeated, console)
    text = console.export_text()
    assert re.search(r"all cases +3 +50%.* \$0.0060$", text, re.MULTILINE)
    assert "pass@1 50.0% (3 of 6 trials), pass^2 33.3% (1 of 3 cases in all their trials)" in text
    assert "flaky greeting: 1 of 2 passed; contains 0.00; the answer: no" in text
    assert "failed json: 0 of 2 passed; JSON 0.00; the answer: no" in text


def test_the_report_names_flaky_cases_and_has_both_rates(repeated: Outcome) -> None:
    text = page(repeated)
    assert "<b>pass^2</b><strong>33%</strong><span>1 flaky" in text
    assert "<span>3 of 6 trials</span>" in text
    flaky = text.partition("Flaky: passed in some trials")[2].partition("</table>")[0]
    assert re.findall(r"<tr><td>(\w+)</td>", flaky) == ["greeting"]


def test_a_report_without_repeats_has_neither(ended: Outcome) -> None:
    assert "pass^" not in page(ended)
    assert "Flaky" not in page(ended)


def test_the_terminal_shows_the_table_the_failures_and_the_changes(ended: Outcome) -> None:
    console = Console(width=120, file=io.StringIO(), record=True)
    show(ended, console)
    text = console.export_text()
    assert re.search(r"all cases +3 +67%", text)
    assert "failed json: JSON 0.00; the answer: <script>alert(1)</script>" in text
    assert "1 better, 1 worse" in text
    assert "gate missed 66.7% passed, wanted at least 90.0%" in text


def test_a_narrow_terminal_shows_no_half_of_a_number(ended: Outcome) -> None:
    console = Console(width=60, file=io.StringIO(), record=True)
    show(ended, console)
    text = console.export_text()
    assert "exact" not in text.splitlines()[0]
    assert re.search(r"all cases +3 +67% .*\$\d\.\d{4}$", text, re.MULTILINE)
    assert "A wider terminal shows the scores" in text
