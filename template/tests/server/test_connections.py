"""Places for connections: bounded in total and for each address, and never full for a probe."""

from dataclasses import dataclass, field

from app.connections import Connections


@dataclass(eq=False)
class Peer:
    address: str = "a"
    evicted: bool = field(default=False, init=False)

    def evict(self) -> None:
        self.evicted = True


def added(places: Connections, *peers: Peer) -> list[bool]:
    return [places.add(peer) for peer in peers]


def test_the_connection_that_is_idle_for_longest_makes_room() -> None:
    places = Connections(total=3, per_address=3)
    first, second, third, new = Peer(), Peer(), Peer(), Peer()
    added(places, first, second, third)
    places.set_busy(first)
    assert places.add(new)
    assert [peer.evicted for peer in (first, second, third)] == [False, True, False]
    assert not places.is_over(new)


def test_a_full_service_closes_a_connection_of_the_greediest_address() -> None:
    places = Connections(total=4, per_address=3)
    modest, *greedy = Peer("modest"), Peer("greedy"), Peer("greedy"), Peer("greedy")
    added(places, modest, *greedy, Peer("new"))
    assert [peer.evicted for peer in (modest, *greedy)] == [False, True, False, False]


def test_an_address_at_its_limit_loses_a_connection_of_its_own() -> None:
    places = Connections(total=10, per_address=2)
    other, *own = Peer("b"), Peer(), Peer()
    added(places, other, *own, Peer())
    assert [peer.evicted for peer in (other, *own)] == [False, True, False]


def test_without_an_idle_connection_a_new_one_is_over_until_the_spare_places_are_full() -> None:
    places = Connections(total=1, per_address=1, spare=1)
    busy, probe, refused = Peer(), Peer("b"), Peer("c")
    places.add(busy)
    places.set_busy(busy)
    assert places.add(probe)
    assert places.is_over(probe)
    places.set_busy(probe)
    assert not places.add(refused)
    places.remove(refused)  # the server closes it, which must not free another's place
    assert not places.add(Peer("d"))


def test_a_closed_connection_frees_its_place_once() -> None:
    places = Connections(total=1, per_address=1, spare=0)
    old, new, late = Peer(), Peer(), Peer()
    places.add(old)
    places.remove(old)
    places.remove(old)
    assert places.add(new)
    places.set_busy(new)
    assert not places.add(late)
