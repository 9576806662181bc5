"""What became of the requests of a play."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ANSWERED = "answered"
# The service refuses these itself, at once, and says when to come again.
REFUSALS = {"LimitReachedError", "CircuitOpenError", "OverloadedError", "ClientLimitError"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it was sent, how long its client waited, and the error or `ANSWERED`."""

    sent_s: float
    waited_s: float
    outcome: str

    @property
    def is_answered(self) -> bool:
        return self.outcome == ANSWERED

    @property
    def is_refused(self) -> bool:
        return self.outcome in REFUSALS


@dataclass
class Recording:
    """The requests in the order of their ends, and the calls to the provider, since the start."""

    asked: list[Asked] = field(default_factory=list)
    called_s: list[float] = field(default_factory=list)
    asked_again: int = 0  # calls for a question that was sent to the provider before
    events: Counter[str] = field(default_factory=Counter)  # of the log

    def waits_s(self, *, refused: bool = False) -> list[float]:
        chosen = [each for each in self.asked if (each.is_refused if refused else each.is_answered)]
        return sorted(each.waited_s for each in chosen)

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(each.outcome for each in self.asked)

    @property
    def refused(self) -> int:
        return sum(each.is_refused for each in self.asked)

    @property
    def answered(self) -> int:
        return sum(each.is_answered for each in self.asked)


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The nearest rank; not a number without values."""
    if not sorted_values:
        return math.nan
    return sorted_values[min(len(sorted_values) - 1, math.ceil(len(sorted_values) * share) - 1)]


def most_in_a_second(times_s: Iterable[float]) -> int:
    """The largest number of times within one second, wherever it begins."""
    ordered = sorted(times_s)
    most = first = 0
    for last, at in enumerate(ordered):
        while ordered[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most
