import pytest

from evals.comparison import compare, difference_interval
from evals.gates import Gates
from evals.scores import Result
from tests.evals.examples import results


def ids(them: tuple[Result, ...]) -> list[str]:
    return [result.case.id for result in them]


def test_improved_and_worsened_cases_are_listed() -> None:
    before, now = results("++--"), results("+-++")
    comparison = compare(now, before, against="monday")
    assert ids(comparison.better) == ["2", "3"]
    assert ids(comparison.worse) == ["1"]
    assert comparison.difference == pytest.approx(0.25)


def test_cases_that_only_one_run_has_are_not_compared() -> None:
    comparison = compare(results("++"), results("-"), against="monday")
    assert (comparison.common, comparison.difference) == (1, 1.0)
    assert compare(results("+"), [], against="monday").difference == 0


def test_the_interval_is_the_same_each_time() -> None:
    assert len({difference_interval(30_000, 20_000, 1_000_000) for _ in range(5)}) == 1


def test_the_interval_is_as_wide_as_the_normal_approximation_says() -> None:
    """Of many cases: 1.96 standard errors of the mean of +1, 0 and -1, to either side."""
    better, worse, cases = 300, 200, 2000
    mean = (better - worse) / cases
    error = ((better + worse) / cases - mean**2) ** 0.5 / cases**0.5
    interval = difference_interval(better, worse, cases)
    assert interval.low == pytest.approx(mean - 1.96 * error, abs=0.001)
    assert interval.high == pytest.approx(mean + 1.96 * error, abs=0.001)


@pytest.mark.parametrize(
    ("better", "worse", "cases", "sure"),
    [
        pytest.param(4, 2, 20, False, id="4-better-2-worse-of-20"),
        pytest.param(40, 20, 200, True, id="the-same-ten-times"),
        pytest.param(0, 0, 20, False, id="nothing-changed"),
        pytest.param(0, 0, 0, False, id="nothing-in-common"),
    ],
)
def test_few_cases_prove_little(better: int, worse: int, cases: int, *, sure: bool) -> None:
    assert (difference_interval(better, worse, cases).low > 0) is sure


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


def test_without_an_earlier_run_nothing_is_worse() -> None:
    assert Gates(max_worse=0).missed(results("-"), None) == []
