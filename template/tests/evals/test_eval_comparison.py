import pytest

from evals.comparison import compare
from evals.gates import Gates
from evals.reliability import Tally
from evals.words import sentence
from tests.evals.examples import repeated_results, results


def ids(them: tuple[Tally, ...]) -> list[str]:
    return [tally.case.id for tally in them]


def test_improved_and_worsened_cases_are_listed() -> None:
    before, now = results("++--"), results("+-++")
    comparison = compare(now, before, against="monday")
    assert ids(comparison.better) == ["2", "3"]
    assert ids(comparison.worse) == ["1"]
    assert comparison.difference == pytest.approx(0.25)


def test_cases_that_only_one_run_has_are_not_compared() -> None:
    comparison = compare(results("++"), results("-"), against="monday")
    assert (comparison.common, comparison.difference) == (1, 1.0)
    nothing = compare(results("+"), [], against="monday")
    assert (nothing.difference, nothing.is_beyond_chance) == (0, False)


def test_with_repeats_only_a_difference_beyond_chance_is_named() -> None:
    """Case 0 goes from never to always, case 1 from 4 of 5 to 3 of 5, case 2 stays."""
    before = repeated_results("-----", "++++-", "+++++")
    now = repeated_results("+++++", "+++--", "+++++")
    comparison = compare(now, before, against="monday")
    assert (ids(comparison.better), ids(comparison.worse)) == (["0"], [])
    assert ids(comparison.unsure) == ["1"]
    assert comparison.difference == pytest.approx((1 - 0.2) / 3)
    assert "1 better, 0 worse beyond chance, 1 within chance" in sentence(comparison)


def test_a_run_without_repeats_names_each_changed_case_and_says_that_it_may_be_chance() -> None:
    comparison = compare(results("++++----"), results("--------"), against="monday")
    assert ids(comparison.better) == ["0", "1", "2", "3"]
    assert "4 better, 0 worse; together within chance (p = 0.12)" in sentence(comparison)


@pytest.mark.parametrize(
    ("gates", "missed"),
    [
        pytest.param(Gates(), [], id="none"),
        pytest.param(Gates(min_pass=0.75, max_worse=1), [], id="just-kept"),
        pytest.param(
            Gates(min_pass=0.76), ["75.0% passed, wanted at least 76.0%"], id="too-few-pass"
        ),
        pytest.param(
            Gates(max_worse=0), ["1 worse than before, wanted at most 0"], id="too-many-worse"
        ),
    ],
)
def test_the_missed_gates_are_reported(gates: Gates, missed: list[str]) -> None:
    now, before = results("+++-"), results("++-+")
    assert gates.missed(now, compare(now, before, against="monday")) == missed


def test_a_flaky_case_does_not_miss_the_gate_and_a_broken_one_does() -> None:
    before = repeated_results("+++++", "+++++")
    for trials, missed in (("++++-", 0), ("-----", 1)):
        now = repeated_results("+++++", trials)
        comparison = compare(now, before, against="monday")
        assert len(Gates(max_worse=0).missed(now, comparison)) == missed


def test_without_an_earlier_run_nothing_is_worse() -> None:
    assert Gates(max_worse=0).missed(results("-"), None) == []
