"""Records the last requests, with masked keys, for tests and for developers."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import orjson
from pydantic import JsonValue

_KEPT = 1000
_KEPT_BYTES = 64 * 2**20  # a thousand bodies of 10 MB would fill the memory of a laptop
_SECRET = {"authorization", "x-api-key"}
_SHOWN_CHARACTERS = 4


class Listed(TypedDict):
    seq: int
    method: str
    path: str
    headers: dict[str, str]
    body: JsonValue
    status: int | None


@dataclass
class Received:
    seq: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None = None  # until the answer starts

    def listed(self) -> Listed:
        return {
            "seq": self.seq,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "body": _readable(self.body),
            "status": self.status,
        }


class Recorder:
    def __init__(self) -> None:
        self._received: deque[Received] = deque()
        self._bytes = 0
        self._seq = 0

    def add(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Received:
        self._seq += 1
        masked = {name: mask(value) if name in _SECRET else value for name, value in headers}
        received = Received(self._seq, method, path, masked, body)
        self._received.append(received)
        self._bytes += len(body)
        while len(self._received) > _KEPT or self._bytes > _KEPT_BYTES:
            self._bytes -= len(self._received.popleft().body)
        return received

    def clear(self) -> None:
        self._received.clear()
        self._bytes = 0

    def listed(self, path: str = "/", limit: int = _KEPT) -> list[Listed]:
        """Requests with a path that starts with `path`, oldest first; `limit` keeps the newest."""
        chosen = [item for item in self._received if item.path.startswith(path)]
        return [item.listed() for item in chosen[-limit:]]


def mask(value: str) -> str:
    """`Bearer sk-1234567890` → `***7890`; a short secret shows nothing."""
    secret = value.rpartition(" ")[2]
    return "***" + (secret[-_SHOWN_CHARACTERS:] if len(secret) > 2 * _SHOWN_CHARACTERS else "")


def _readable(body: bytes) -> JsonValue:
    if not body:
        return None
    try:
        parsed: JsonValue = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    return parsed
