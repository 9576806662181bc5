"""The faults: which kind, for which requests, and how often. `reply` applies them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, TypedDict

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from mock_api.refusal import RefusalError

# Visible ASCII: tests can try any wrong value, but none can split the header.
_HeaderText = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,200}$")]
_Chunks = Annotated[int, Field(ge=0)]


class Fault(BaseModel):
    """A fault in the format of `PUT /_mock/faults`. All fields are optional and can be combined.

    latency_ms            wait before answering
    status                refuse with this status, with the provider's own message
    retry_after           seconds or a date, sent unchanged; alone it means status 429
    rate                  share of the affected requests, evenly spaced (see `Active.takes`)
    times                 end after this many affected requests
    path                  only requests with a path that starts with this
    drop_after_chunks     stream: close the socket after n chunks of content; whole answer: halfway
    stall_after_chunks    stream: send nothing after n chunks of content; whole answer: never answer
    ping_after_chunks     stream: only pings after n chunks of content; whole answer: never answer
    malformed             stream: break the JSON of the second chunk of content; whole answer: cut
                          the body in half, with a matching content-length
    tokens_per_second     stream: the rate of the chunks of content
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    latency_ms: float = Field(default=0, ge=0)
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: Annotated[int, Ge(0)] | Annotated[float, Ge(0)] | _HeaderText | None = None
    rate: float = Field(default=1, ge=0, le=1)
    times: int | None = Field(default=None, ge=1)
    path: str | None = Field(default=None, pattern="^/")
    drop_after_chunks: _Chunks | None = None
    stall_after_chunks: _Chunks | None = None
    ping_after_chunks: _Chunks | None = None
    malformed: bool = False
    tokens_per_second: float | None = Field(default=None, gt=0)

    @property
    def refuses_with(self) -> int | None:
        return 429 if self.status is None and self.retry_after is not None else self.status

    @property
    def refusal(self) -> RefusalError | None:
        if (status := self.refuses_with) is None:
            return None
        pause = None if self.retry_after is None else str(self.retry_after)
        return RefusalError(status, retry_after=pause)

    def refuse(self) -> None:
        """Raise the refusal of this fault, if it has one."""
        if (refusal := self.refusal) is not None:
            raise refusal


NO_FAULT = Fault()


class Listed(TypedDict):
    fault: dict[str, JsonValue]
    seen: int
    applied: int
    remaining: int | None


@dataclass
class Active:
    fault: Fault
    seen: int = 0
    applied: int = 0

    @property
    def remaining(self) -> int | None:
        return None if self.fault.times is None else self.fault.times - self.applied

    def takes(self, path: str) -> bool:
        """Whether this fault affects the request: the n-th is affected if floor(n * rate) grows.

        Requests are counted: a rate of 0.25 affects exactly the 4th, 8th, 12th … request.
        """
        if not path.startswith(self.fault.path or "/"):
            return False
        self.seen += 1
        affected = self._due(self.seen) > self._due(self.seen - 1)
        self.applied += affected
        return affected

    def _due(self, requests: int) -> int:
        return math.floor(requests * self.fault.rate + 1e-9)  # 100 * 0.29 is 28.999999999999996

    def listed(self) -> Listed:
        return {
            "fault": self.fault.model_dump(exclude_unset=True),
            "seen": self.seen,
            "applied": self.applied,
            "remaining": self.remaining,
        }


class Faults:
    """The current faults. The first one that affects a request is applied, and no later one."""

    def __init__(self) -> None:
        self._active: list[Active] = []

    def replace(self, faults: Iterable[Fault]) -> None:
        self._active = [Active(fault) for fault in faults]

    def listed(self) -> list[Listed]:
        return [active.listed() for active in self._active]

    def take(self, path: str) -> Fault:
        for active in self._active:
            if active.takes(path):
                if active.remaining == 0:
                    self._active.remove(active)
                return active.fault
        return NO_FAULT
