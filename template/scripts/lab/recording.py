"""The record of an incident: each request of a client, and each call that reached a provider."""

from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["whole", "refused", "broken", "silent"]


@dataclass(slots=True)
class Asked:
    """A request of a client. Times are in seconds from the start of the incident.

    `whole`: a complete answer. `refused`: a problem instead of an answer. `broken`: a stream that
    ends in an `error` event. `silent`: a stream without any last event, or no answer at all.
    """

    client: str
    sent_s: float
    ended_s: float = 0.0
    status: int = 0
    ending: Ending = "silent"
    provider: str = ""
    has_retry_after: bool = False

    @property
    def waited_s(self) -> float:
        return self.ended_s - self.sent_s


@dataclass(frozen=True, slots=True)
class Called:
    """A call that reached the mock API."""

    provider: str
    at_s: float


@dataclass
class Recording:
    asked: list[Asked] = field(default_factory=list)
    called: list[Called] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=dict)  # of the log, by name
