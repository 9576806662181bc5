import itertools
from math import comb

import numpy as np
import pytest

from evals.chance import LEVEL, Counts, beyond_chance, difference_interval, p_value


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(Counts(1, 4, 3, 4), 34 / 70, id="fishers-lady-tasting-tea"),
        pytest.param(Counts(0, 5, 5, 5), 2 / comb(10, 5), id="never-to-always-in-5"),
        pytest.param(Counts(0, 3, 3, 3), 0.1, id="never-to-always-in-3-is-within-chance"),
        pytest.param(Counts(0, 1, 1, 5), 1.0, id="unequal-trials"),
        pytest.param(Counts(4, 4, 4, 4), 1.0, id="always"),
    ],
)
def test_one_case_is_fishers_exact_test(counts: Counts, expected: float) -> None:
    assert p_value([counts]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("better", "worse", "expected"),
    [(4, 0, 0.125), (5, 0, 0.0625), (6, 0, 0.03125), (10, 2, 0.03857421875), (3, 3, 1.0)],
)
def test_single_trials_are_mcnemars_exact_test(better: int, worse: int, expected: float) -> None:
    pairs = [Counts(0, 1, 1, 1)] * better + [Counts(1, 1, 0, 1)] * worse
    assert p_value([*pairs, *[Counts(1, 1, 1, 1)] * 50]) == pytest.approx(expected)


def test_several_cases_are_added_up_over_every_way_in_which_their_passes_could_fall() -> None:
    """Against an enumeration of the runs: each pass is in any trial of its case, with equal chance."""
    cases = [Counts(0, 2, 2, 3), Counts(1, 3, 2, 2), Counts(1, 1, 0, 1)]
    totals = [
        sum(
            sum(trial < case.trials_now for trial in chosen)
            for case, chosen in zip(cases, ways, strict=True)
        )
        for ways in itertools.product(
            *(
                itertools.combinations(
                    range(case.trials_now + case.trials_before),
                    case.passes_now + case.passes_before,
                )
                for case in cases
            )
        )
    ]
    shares = {total: totals.count(total) / len(totals) for total in set(totals)}
    observed = sum(case.passes_now for case in cases)
    as_unlikely = sum(share for share in shares.values() if share <= shares[observed] + 1e-9)
    assert p_value(cases) == pytest.approx(as_unlikely)


def test_chance_alone_names_a_case_in_at_most_one_comparison_of_twenty() -> None:
    """30 cases of every reliability, five trials each, in two runs of one and the same service."""
    random = np.random.default_rng(7)
    rates = np.linspace(0, 1, 30)
    comparisons, named, together = 400, 0, 0
    for _ in range(comparisons):
        passes = random.binomial(5, rates, size=(2, 30)).tolist()
        cases = [Counts(before, 5, now, 5) for before, now in zip(*passes, strict=True)]
        named += any(beyond_chance(cases))
        together += p_value(cases) <= LEVEL
    assert named <= LEVEL * comparisons
    assert together <= 1.5 * LEVEL * comparisons


def test_a_case_that_breaks_is_named_among_steady_and_flaky_ones() -> None:
    steady, flaky, broken = Counts(5, 5, 5, 5), Counts(3, 5, 2, 5), Counts(8, 8, 0, 8)
    assert beyond_chance([*[steady] * 25, *[flaky] * 4, broken]) == [*[False] * 29, True]


def test_cases_that_can_show_nothing_cost_no_certainty() -> None:
    """Bonferroni over all 100 would need p < 0.0005, and 5 trials give 0.008 at best."""
    cases = [Counts(5, 5, 0, 5), *[Counts(5, 5, 5, 5)] * 99]
    assert beyond_chance(cases) == [True, *[False] * 99]


def test_many_cases_that_break_at_once_need_more_trials() -> None:
    assert beyond_chance([Counts(5, 5, 0, 5)] * 7) == [False] * 7
    assert beyond_chance([Counts(6, 6, 0, 6)] * 7) == [True] * 7


def changes(better: int, worse: int, cases: int) -> list[float]:
    return [1.0] * better + [-1.0] * worse + [0.0] * (cases - better - worse)


def test_the_interval_is_the_same_each_time() -> None:
    assert len({difference_interval(changes(300, 200, 10_000)) for _ in range(5)}) == 1


def test_the_interval_is_as_wide_as_the_normal_approximation_says() -> None:
    """Of many cases: 1.96 standard errors of the mean, to either side."""
    differences = [0.2, -0.4, 0.6, 0.0, 1.0] * 400
    mean, error = np.mean(differences), np.std(differences) / len(differences) ** 0.5
    interval = difference_interval(differences)
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
    assert (difference_interval(changes(better, worse, cases)).low > 0) is sure
