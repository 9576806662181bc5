"""The bytes that all requests together may hold."""

from app.api.middleware.body_limit import ByteBudget, Hold


def test_bytes_beyond_the_total_are_refused_and_counted() -> None:
    refusals: list[bool] = []
    budget = ByteBudget(100, on_refused=lambda: refusals.append(True))
    first, second = Hold(budget), Hold(budget)
    assert first.add(60)
    assert not second.add(41)
    assert second.add(40)
    assert (budget.used, first.count, second.count, len(refusals)) == (100, 60, 40, 1)


def test_a_request_that_is_alone_may_have_more_than_there_is() -> None:
    budget = ByteBudget(100)
    alone, other = Hold(budget), Hold(budget)
    alone.add(10)
    assert alone.add_up_to_all(1_000)
    assert budget.used == 100
    assert not other.add_up_to_all(1)
