from itertools import count, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.resilience.retry import RetryBudget


def spendable(budget: RetryBudget) -> int:
    """Spend everything, and count."""
    return len(list(takewhile(bool, (budget.spend() for _ in count()))))


def test_a_quiet_service_has_its_reserve() -> None:
    assert spendable(RetryBudget(ratio=0.1, reserve=20)) == 20


def test_so_many_calls_earn_a_retry() -> None:
    budget = RetryBudget(ratio=0.125, reserve=20)
    spendable(budget)
    for _ in range(16):
        budget.earn()
    assert spendable(budget) == 2


def test_no_more_is_saved_than_the_reserve() -> None:
    budget = RetryBudget(ratio=1, reserve=3)
    for _ in range(50):
        budget.earn()
    assert spendable(budget) == 3


def test_a_refused_retry_costs_nothing() -> None:
    budget = RetryBudget(ratio=0.5, reserve=1)
    assert [budget.spend(), budget.spend(), budget.spend()] == [True, False, False]
    budget.earn()
    assert not budget.spend()  # half a retry
    budget.earn()
    assert budget.spend()


@pytest.mark.parametrize("ratio", [0, 0.1, 2])
@given(calls=st.lists(st.integers(0, 5), max_size=60))
def test_retries_never_exceed_the_budget_that_calls_have_earned(
    ratio: float, calls: list[int]
) -> None:
    budget = RetryBudget(ratio=ratio, reserve=4)
    made = 0
    for number, wanted in enumerate(calls, start=1):
        budget.earn()
        made += sum(budget.spend() for _ in range(wanted))
        assert made <= 4 + ratio * number + 1e-9
