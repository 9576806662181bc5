"""What each use of Redis costs, and the table of `docs/scale.md`."""

from pathlib import Path

import pytest

from scripts.simulate.costs import Cost, costs

PAGE = Path(__file__).parents[2] / "docs/scale.md"


@pytest.fixture(scope="module")
def counted() -> list[Cost]:
    return costs()


def test_the_table_of_the_page_has_the_costs_that_are_counted(counted: list[Cost]) -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert [cost.row for cost in counted if cost.row not in rows] == []


def test_a_request_costs_the_sum_of_its_uses(counted: list[Cost]) -> None:
    trips = {cost.name: cost.round_trips for cost in counted}
    assert trips["a chat request"] == 3
    assert trips["a chat request, from the cache"] == 1
    assert trips["a chat request, of a client with limits"] == trips["a chat request"] + 2
    assert (
        trips["a chat request, with `RATE_LIMIT_TOKENS_PER_MINUTE`"] == trips["a chat request"] + 1
    )
