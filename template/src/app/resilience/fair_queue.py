"""The order in which waiting calls of several clients get their turn."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

_WEIGHT = 1


class FairQueue(Generic[T]):
    """Calls that run and items that wait, by client.

    Next is the client with the fewest running calls for its weight (max-min fairness). Clients with
    equally many take turns. The items of one client are in FIFO order. A client of weight 3 gets three
    times as many running calls as one of weight 1 while both have items waiting.
    """

    def __init__(self, weights: Mapping[str, int] | None = None) -> None:
        self._weights = weights or {}
        self._running: dict[str, int] = {}
        self._waiting: dict[str, dict[T, None]] = (
            {}
        )  # the client with the longest time since its turn first
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def start(self, client: str) -> None:
        """Count a call of the client as running."""
        self._running[client] = self._running.get(client, 0) + 1

    def end(self, client: str) -> None:
        """Count a call of the client as ended."""
        left = self._running.pop(client) - 1
        if left:
            self._running[client] = left

    def push(self, client: str, item: T) -> None:
        self._waiting.setdefault(client, {})[item] = None
        self._length += 1

    def pop(self) -> tuple[str, T] | None:
        """Take the item that is next, and its client. `None`: no item waits."""
        if not self._waiting:
            return None
        client = min(self._waiting, key=self._share)
        items = self._waiting.pop(client)
        item = next(iter(items))
        del items[item]
        if items:
            self._waiting[client] = items  # behind the clients with as few running calls
        self._length -= 1
        return client, item

    def discard(self, client: str, item: T) -> None:
        """Remove an item, if it is still waiting."""
        items = self._waiting.get(client, {})
        if item not in items:
            return
        del items[item]
        self._length -= 1
        if not items:
            del self._waiting[client]

    def can_displace_for(self, client: str) -> bool:
        """Whether `displace_for` would remove an item."""
        return self._greedier_than(client) is not None

    def displace_for(self, client: str) -> T | None:
        """Remove the newest item of the client that uses most, so that `client` can wait.

        `None`: no client would still use more than `client` with one item more.
        """
        greediest = self._greedier_than(client)
        if greediest is None:
            return None
        newest = next(reversed(self._waiting[greediest]))
        self.discard(greediest, newest)
        return newest

    def _greedier_than(self, client: str) -> str | None:
        """The waiting client that uses most, if it uses more than `client` with one item more."""
        greediest = max(self._waiting, key=self._use, default=None)
        if greediest is None or self._use(greediest) <= self._use(client, more=1):
            return None
        return greediest

    def _share(self, client: str) -> float:
        return self._running.get(client, 0) / self._weights.get(client, _WEIGHT)

    def _use(self, client: str, more: int = 0) -> float:
        """The calls of a client, running and waiting, for its weight."""
        calls = self._running.get(client, 0) + len(self._waiting.get(client, ())) + more
        return calls / self._weights.get(client, _WEIGHT)
