"""The measures that pledges bound: each is one number about the requests of a window of time."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.lab.recording import Asked, Recording

_SERVER_ERROR = 500
_MUST_SAY_WHEN = {429, 503}


@dataclass(frozen=True, slots=True)
class Window:
    """The requests and calls that a pledge is about. `calls` are those of its provider, if it has one."""

    asked: Sequence[Asked]
    calls: int
    from_s: float
    provider: str | None = None

    def count(self, wanted: Callable[[Asked], bool]) -> int:
        return sum(map(wanted, self.asked))

    def share(self, wanted: Callable[[Asked], bool]) -> float:
        return self.count(wanted) / len(self.asked)

    def waits_s(self, wanted: Callable[[Asked], bool] = lambda _: True) -> list[float]:
        return sorted(each.waited_s for each in self.asked if wanted(each))


@dataclass(frozen=True, slots=True)
class Measure:
    """`what` is the measure in words."""

    what: str
    of: Callable[[Window], float]


def window(
    recording: Recording, from_s: float, to_s: float, provider: str | None, client: str | None
) -> Window:
    asked = [
        each
        for each in recording.asked
        if from_s <= each.sent_s < to_s and client in {None, each.client}
    ]
    if not asked:
        raise ValueError(f"no request is sent from {from_s:g} s to {to_s:g} s")
    called = [call for call in recording.called if from_s <= call.at_s < to_s]
    calls = sum(provider in {None, call.provider} for call in called)
    return Window(asked, calls, from_s, provider)


def _is_whole(each: Asked) -> bool:
    return each.ending == "whole"


def _is_refused(each: Asked) -> bool:
    return each.ending == "refused"


def _percentile(waits_s: Sequence[float], share: float) -> float:
    return waits_s[min(len(waits_s) - 1, math.floor(len(waits_s) * share))]


def _recovery_s(seen: Window) -> float:
    """Seconds until the answers are whole and of the provider again; infinite if the last is not."""

    def is_well(each: Asked) -> bool:
        return _is_whole(each) and seen.provider in {None, each.provider}

    unwell = [each for each in seen.asked if not is_well(each)]
    if unwell and unwell[-1] is seen.asked[-1]:
        return math.inf
    return max((each.sent_s - seen.from_s for each in unwell), default=0.0)


MEASURES: Mapping[str, Measure] = {
    "calls": Measure("calls per request", lambda w: w.calls / len(w.asked)),
    "whole": Measure("share of whole answers", lambda w: w.share(_is_whole)),
    "not_whole": Measure(
        "requests without a whole answer", lambda w: w.count(lambda a: not _is_whole(a))
    ),
    "own_errors": Measure(
        "errors of ours (500)", lambda w: w.count(lambda a: a.status == _SERVER_ERROR)
    ),
    "silent_ends": Measure(
        "streams that end silently", lambda w: w.count(lambda a: a.ending == "silent")
    ),
    "from_provider": Measure(
        "share of answers by the provider", lambda w: w.share(lambda a: a.provider == w.provider)
    ),
    "without_retry_after": Measure(
        "refusals without Retry-After",
        lambda w: w.count(lambda a: a.status in _MUST_SAY_WHEN and not a.has_retry_after),
    ),
    "longest_s": Measure("longest wait, in seconds", lambda w: w.waits_s()[-1]),
    "median_s": Measure("median wait, in seconds", lambda w: _percentile(w.waits_s(), 0.5)),
    "p99_s": Measure("99% wait less than, in seconds", lambda w: _percentile(w.waits_s(), 0.99)),
    "refusal_s": Measure(
        "longest wait for a refusal, in seconds", lambda w: max(w.waits_s(_is_refused), default=0.0)
    ),
    "recovered_s": Measure("seconds until all is well again", _recovery_s),
}
