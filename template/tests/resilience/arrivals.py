"""The promises of a rate limit, checked by the times of calls only."""

from collections.abc import Sequence


def most_within(window_s: float, times: Sequence[float]) -> int:
    """The number of calls in the fullest window, which includes its beginning and not its end."""
    return max(sum(start <= time < start + window_s for time in times) for start in times)


def overdraft(times: Sequence[float], *, burst: int, per_minute: float) -> float:
    """By how many calls the worst stretch of time exceeds `burst + rate x t`; at most 0 is right."""
    ordered = sorted(times)
    return max(
        last - first + 1 - burst - (ordered[last] - ordered[first]) * per_minute / 60
        for first in range(len(ordered))
        for last in range(first, len(ordered))
    )
