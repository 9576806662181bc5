"""Batches of requests, of both APIs: stored items, and their progress as a function of time.

An item is answered when its batch is created, with the fault of a request to the path `/items`
below the path of the API's batches, and becomes visible later: item n after `n * item_ms`.

`PUT /_mock/batches` changes the pace of batches that are created afterwards:

    item_ms             milliseconds for each item; also the time of each intermediate state
    expire_after_items  the batch expires when this number of items is answered
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Generic, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from mock_api.faults import NO_FAULT, Fault
from mock_api.frames import Json
from mock_api.refusal import RefusalError

Phase = Literal["running", "finalizing", "cancelling", "completed", "expired", "cancelled"]
Fate = Literal["answered", "expired", "cancelled"]

_LIFE = timedelta(hours=24)
_MAX_PAGE = 100


class Pace(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    item_ms: float = Field(default=5, ge=0)
    expire_after_items: int | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class Item:
    """A request of a batch with the line of its result, in the words of its API."""

    custom_id: str
    line: Json
    failed: bool = False
    fault: Fault = NO_FAULT

    @property
    def is_answered(self) -> bool:
        return self.fault.stall_after_chunks is None

    @property
    def encoded(self) -> bytes:
        """A line of a file of results; half of it if the item's fault is `malformed`."""
        line = orjson.dumps(self.line)
        return line[: len(line) // 2] if self.fault.malformed else line


@dataclass
class Batch:
    id: str
    items: Sequence[Item]
    pace: Pace
    created_at: datetime
    started_s: float
    cancelled_s: float | None = None

    @property
    def expires_at(self) -> datetime:
        return self.created_at + _LIFE

    def phase(self, now_s: float) -> Phase:
        if self.cancelled_s is not None:
            return "cancelling" if now_s < self.cancelled_s + self._item_s else "cancelled"
        end = self._end_s
        if now_s < end:
            return "running"
        if self._expires:
            return "expired"
        return "finalizing" if now_s < end + self._item_s else "completed"

    def fates(self, now_s: float) -> Iterator[tuple[Item, Fate | None]]:
        """Each item with what has become of it; `None`: it is still to be answered."""
        phase = self.phase(now_s)
        answered = self._answered(now_s if self.cancelled_s is None else self.cancelled_s)
        for index, item in enumerate(self.items):
            if index < answered and item.is_answered:
                yield item, "answered"
            elif phase in ("cancelled", "expired"):
                yield item, phase
            else:
                yield item, None

    def in_any_order(self, now_s: float) -> list[tuple[Item, Fate | None]]:
        """The same in another order than that of the requests, which is always the same one."""
        return sorted(self.fates(now_s), key=lambda fate: _shuffled(fate[0].custom_id))

    @property
    def _item_s(self) -> float:
        return self.pace.item_ms / 1000

    @property
    def _expires(self) -> bool:
        return self._count < len(self.items) or not all(item.is_answered for item in self.items)

    @property
    def _count(self) -> int:
        limit = self.pace.expire_after_items
        return len(self.items) if limit is None else min(limit, len(self.items))

    @property
    def _end_s(self) -> float:
        return self.started_s + self._count * self._item_s

    def _answered(self, at_s: float) -> int:
        if not self.pace.item_ms:
            return self._count
        return min(self._count, int((at_s - self.started_s) / self._item_s + 1e-6))


def _shuffled(custom_id: str) -> bytes:
    return blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()


@dataclass
class Batches:
    """All batches of one API, the oldest first."""

    prefix: str
    paces: "Paces"
    clock: Callable[[], float] = time.monotonic
    kept: dict[str, Batch] = field(default_factory=dict)

    def create(self, items: Sequence[Item], digest: str) -> Batch:
        """A batch of its own for each request: two equal requests make two batches."""
        name = f"{self.prefix}{digest}_{len(self.kept) + 1}"
        batch = Batch(name, items, self.paces.current, datetime.now(UTC), self.clock())
        self.kept[name] = batch
        return batch

    def get(self, name: str) -> Batch:
        try:
            return self.kept[name]
        except KeyError:
            raise RefusalError(404, f"No batch found with id '{name}'.") from None

    def cancel(self, batch: Batch) -> None:
        if batch.cancelled_s is None and batch.phase(self.clock()) in {"running", "finalizing"}:
            batch.cancelled_s = self.clock()

    def newest_first(self, after: str | None, limit: str | None) -> "Page[Batch]":
        return page([*reversed(self.kept.values())], after, limit, lambda batch: batch.id)


@dataclass
class Paces:
    current: Pace = field(default_factory=Pace)


T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    items: Sequence[T]
    has_more: bool


def page(
    items: Sequence[T], after: str | None, limit: str | None, key: Callable[[T], str]
) -> Page[T]:
    size = _size(limit)
    start = 0
    if after:
        known = [key(item) for item in items]
        if after not in known:
            raise RefusalError(404, f"No batch found with id '{after}'.")
        start = known.index(after) + 1
    return Page(items[start : start + size], len(items) > start + size)


def _size(limit: str | None) -> int:
    text = limit or "20"
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MAX_PAGE):
        raise RefusalError(400, f"must be from 1 to {_MAX_PAGE}", field=("limit",))
    return int(text)
