"""Tells before a request is read whether the queues of the providers would refuse its call."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from app.errors import OverloadedError
from app.llm.pools import Gate
from app.resilience.health import Health


class _Door(NamedTuple):
    gate: Gate
    health: Health


class Overload:
    """Says whether a client's call would be refused, by the state of the queues at that moment.

    So the fairness of the queues holds: a call of a client that uses less than another one is not
    refused, because it would take that one's place.

    `gates` is a plain attribute, because every request reads it. It is empty until the service is
    open.
    """

    def __init__(self, lookups: "Lookups | None" = None) -> None:
        self.gates: tuple[Gate, ...] = ()
        self.lookups = lookups or Lookups(0)
        self._doors: list[_Door] = []
        self._embeddings: list[Gate] = []  # one, or none

    def watch(
        self, gates: Mapping[str, Gate], health: Mapping[str, Health], *, embeddings: str = ""
    ) -> None:
        """Set the queues of the providers. `health` has all providers, in the order of the chain.

        `embeddings` is the provider that gets all calls for vectors.
        """
        self._embeddings = [gates[embeddings]] if embeddings in gates else []
        self._doors = [_Door(gates[name], known) for name, known in health.items() if name in gates]
        self.gates = tuple(door.gate for door in self._doors)

    def refuses(self, client: str) -> bool:
        """Whether the queue of every provider would refuse a call of the client."""
        gates = self._gates()
        return bool(gates) and all(gate.bulkhead.refuses(client) for gate in gates)

    def refuses_unnamed(self, client: str) -> bool:
        """Whether a call without the name of its provider would be refused.

        Such a call waits in the queue of the first provider only, if no other one has a free
        connection (`app.llm.fallback`).
        """
        gates = self._gates()
        if not all(gate.bulkhead.is_full for gate in gates):
            return False
        return bool(gates) and gates[0].bulkhead.refuses(client)

    def refuses_embeddings(self, client: str) -> bool:
        """Whether a call for vectors would be refused: no other provider may make them."""
        return any(gate.bulkhead.refuses(client) for gate in self._embeddings)

    def refusal(self, *, embeddings: bool = False) -> OverloadedError:
        """Count and log a refusal of the first provider, and return the error of the request."""
        gate = (self._embeddings if embeddings else self._gates())[0]
        return gate.refused(gate.bulkhead.refusal("full"))

    def _gates(self) -> list[Gate]:
        """The queues of the providers that a call would try: an open circuit is passed over."""
        return [door.gate for door in self._doors if not door.health.is_open]


class Lookups:
    """A token bucket of requests that are looked up in the cache although a call would be refused.

    A lookup that finds an answer is given back, so only those that find none are limited.
    """

    _BURST = 5

    def __init__(self, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left = self._most = min(per_s, self._BURST)
        self._at = clock()

    def take(self) -> bool:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        self._left = min(self._most, self._left + 1)
