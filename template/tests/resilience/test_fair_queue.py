"""Which call is next, and which one is dropped for another client's."""

from app.resilience.fair_queue import FairQueue


def queue_of(*waiting: str, weights: dict[str, int] | None = None) -> FairQueue[str]:
    """A queue with the items `a1 a2 b1`, of the clients `a` and `b`."""
    queue: FairQueue[str] = FairQueue(weights)
    for item in waiting:
        queue.push(item[0], item)
    return queue


def served(queue: FairQueue[str]) -> list[str]:
    """All items in the order of their turns. Each becomes a running call that does not end."""
    order = []
    while (found := queue.pop()) is not None:
        client, item = found
        queue.start(client)
        order.append(item)
    return order


def test_the_items_of_one_client_are_first_in_first_out() -> None:
    assert served(queue_of("a1", "a2", "a3")) == ["a1", "a2", "a3"]


def test_clients_with_as_many_running_calls_take_turns() -> None:
    assert served(queue_of("a1", "a2", "a3", "b1", "b2")) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_client_without_running_calls_is_before_a_client_with_one() -> None:
    queue = queue_of("a1", "b1")
    queue.start("a")
    assert served(queue) == ["b1", "a1"]


def test_a_call_that_has_ended_no_longer_counts() -> None:
    queue = queue_of("a1", "b1")
    queue.start("a")
    queue.end("a")
    queue.start("b")
    assert served(queue) == ["a1", "b1"]


def test_a_client_of_weight_three_gets_three_of_four_turns() -> None:
    waiting = [f"{client}{number}" for number in range(9) for client in "ab"]
    first = served(queue_of(*waiting, weights={"a": 3}))[:8]
    assert sum(item.startswith("a") for item in first) == 6


def test_the_newest_item_of_the_greediest_client_is_displaced() -> None:
    queue = queue_of("a1", "a2", "a3", "b1")
    assert queue.displace_for("c") == "a3"
    assert served(queue) == ["a1", "b1", "a2"]


def test_a_client_does_not_displace_its_own_item() -> None:
    queue = queue_of("a1", "a2", "b1")
    assert queue.displace_for("a") is None
    assert len(queue) == 3


def test_clients_with_equal_use_do_not_displace_each_other() -> None:
    """Otherwise each of two clients would drop the other's call, and neither would be served."""
    queue = queue_of("a1")
    assert queue.displace_for("b") is None


def test_running_calls_make_a_client_greedy() -> None:
    queue = queue_of("a1")
    queue.start("a")
    assert queue.displace_for("b") == "a1"
    assert len(queue) == 0


def test_a_client_of_great_weight_is_not_greedy_with_as_many_calls() -> None:
    queue = queue_of("a1", "a2", "b1", "b2", weights={"a": 2})
    assert queue.displace_for("c") == "b2"


def test_nothing_is_displaced_from_an_empty_queue() -> None:
    assert queue_of().displace_for("a") is None


def test_a_discarded_item_has_no_turn() -> None:
    queue = queue_of("a1", "a2", "b1")
    queue.discard("a", "a1")
    queue.discard("b", "b1")
    queue.discard("b", "b1")  # it is gone already
    assert len(queue) == 1
    assert served(queue) == ["a2"]


def test_a_client_that_has_left_leaves_nothing_behind() -> None:
    queue = queue_of("a1")
    queue.pop()
    queue.start("a")
    queue.end("a")
    assert queue._running == {}  # a name that is kept for ever is a leak
    assert queue._waiting == {}
