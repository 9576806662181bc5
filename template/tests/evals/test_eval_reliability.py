from itertools import combinations

import pytest

from evals.reliability import common_trials, pass_hat, tallies
from evals.words import mistake, reliability
from tests.evals.examples import repeated_results


def test_a_case_is_flaky_if_some_trials_passed_and_others_did_not() -> None:
    counted = tallies(repeated_results("+++", "+-+", "---"))
    assert [(tally.passes, tally.trials, tally.is_flaky) for tally in counted] == [
        (3, 3, False),
        (2, 3, True),
        (0, 3, False),
    ]


def test_a_case_is_shown_by_its_first_failed_trial() -> None:
    _, flaky = tallies(repeated_results("+++", "+--"))
    assert flaky.telling.answer.trial == 2
    assert mistake(flaky) == "1 of 3 passed; contains 0.00; the answer: no"


@pytest.mark.parametrize("k", [1, 2, 3])
def test_pass_hat_k_is_the_share_of_draws_of_k_trials_that_all_pass(k: int) -> None:
    counted = tallies(repeated_results("+++-", "++--", "++++"))
    shares = []
    for tally in counted:
        draws = [*combinations([result.passed for result in tally.results], k)]
        shares.append(sum(all(draw) for draw in draws) / len(draws))
    assert pass_hat(counted, k) == pytest.approx(sum(shares) / 3)


def test_k_is_the_number_of_trials_that_every_case_has() -> None:
    assert common_trials(tallies(repeated_results("+++", "++"))) == 2
    assert common_trials([]) == 0


def test_the_rates_are_told_with_their_counts() -> None:
    assert reliability(tallies(repeated_results("+++", "+-+", "---"))) == (
        "pass@1 55.6% (5 of 9 trials), pass^3 33.3% (1 of 3 cases in all their trials)"
    )
