"""The open connections of the server: how many there may be, and which one is closed for a new one."""

from typing import Protocol

from uvicorn.server import ServerState

# The key of the ASGI state with which a server that has been asked to stop marks each request.
STOPPING = "stopping"


class Connection(Protocol):
    address: str

    def evict(self) -> None:
        """Close: it is idle, and another connection needs its place."""


class Connections:
    """Bounds the connections in total and of each address.

    At a limit a new connection takes the place of the one that has been idle for longest. Without an
    idle one, the new connection is `over`: it gets answers to probes only, so that an orchestrator
    does not restart a service that is only busy. `spare` of these are accepted.
    """

    def __init__(self, *, total: int, per_address: int, spare: int = 100) -> None:
        self._total = total
        self._per_address = per_address
        self._spare = spare
        self._open: dict[str, set[Connection]] = {}  # by address
        self._idle: dict[str, dict[Connection, None]] = {}  # by address, the oldest first
        self._over: set[Connection] = set()
        self._count = 0

    def add(self, new: Connection) -> bool:
        """Take a new connection, which is idle. `False`: there is no place, not even for a probe."""
        if self._is_full(new.address):
            self._evict_for(new.address)
        if self._is_full(new.address):
            if len(self._over) >= self._spare:
                return False
            self._over.add(new)
        self._open.setdefault(new.address, set()).add(new)
        self._count += 1
        self.set_idle(new)
        return True

    def remove(self, old: Connection) -> None:
        """Free the place of a connection, if it still has one."""
        of_address = self._open.get(old.address, set())
        if old not in of_address:
            return
        self.set_busy(old)
        self._over.discard(old)
        self._count -= 1
        of_address.remove(old)
        if not of_address:
            del self._open[old.address]

    def set_idle(self, connection: Connection) -> None:
        self._idle.setdefault(connection.address, {})[connection] = None

    def set_busy(self, connection: Connection) -> None:
        idle = self._idle.get(connection.address, {})
        idle.pop(connection, None)
        if not idle:
            self._idle.pop(connection.address, None)

    def is_over(self, connection: Connection) -> bool:
        return connection in self._over

    def _is_full(self, address: str) -> bool:
        return self._count >= self._total or len(self._open.get(address, ())) >= self._per_address

    def _evict_for(self, address: str) -> None:
        """Close an idle connection: of this address at its own limit, else of the greediest one."""
        if len(self._open.get(address, ())) < self._per_address and self._idle:
            address = max(self._idle, key=lambda name: len(self._open[name]))
        if idle := self._idle.get(address):
            oldest = next(iter(idle))
            self.remove(oldest)
            oldest.evict()


class SharedState(ServerState):
    """uvicorn's state of all connections, and their places."""

    def __init__(self, places: Connections) -> None:
        super().__init__()
        self.places = places
