"""The table of a run: percentiles of each target, and what the service adds to them."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from scripts.load.run import Sample

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 100.0)
MEASURES: dict[str, Callable[[Sample], float | None]] = {
    "first text": lambda sample: sample.first_text_s,
    "whole answer": lambda sample: sample.whole_s,
}
# The program shares the machine with the servers. If it sends later than this, times are its own.
_LATE_S = 0.02


def report(samples: Sequence[Sample]) -> str:
    return "\n".join([*_table(samples), *_outcomes(samples), *_lateness(samples)])


def targets_of(samples: Sequence[Sample]) -> list[str]:
    return list(dict.fromkeys(sample.target for sample in samples))


def sorted_ms(samples: Sequence[Sample], target: str, measure: str) -> list[float]:
    """The times of one measure of the answered requests to one target, in ms, ascending."""
    of = MEASURES[measure]
    answered = (s for s in samples if s.is_answered and s.target == target)
    return sorted(seconds * 1000 for sample in answered if (seconds := of(sample)) is not None)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` percent of the values (nearest rank)."""
    rank = math.ceil(len(ordered) * share / 100)
    return ordered[max(rank, 1) - 1]


def _table(samples: Sequence[Sample]) -> Iterator[str]:
    heads = [*(f"p{share:g}" for share in PERCENTILES[:-1]), "max"]
    yield f"{'ms':<14}" + "".join(f"{head:>9}" for head in heads)
    for measure in MEASURES:
        yield measure
        values = {
            target: [percentile(ordered, share) for share in PERCENTILES]
            for target in targets_of(samples)
            if (ordered := sorted_ms(samples, target, measure))
        }
        for target, row in values.items():
            yield _row(target, row)
        if len(values) == 2:  # noqa: PLR2004 - the service, and what stands behind it
            direct, service = values.values()
            yield _row("added", [high - low for low, high in zip(direct, service, strict=True)])


def _row(name: str, values: Sequence[float]) -> str:
    return f"  {name:<12}" + "".join(f"{value:>9.1f}" for value in values)


def _outcomes(samples: Sequence[Sample]) -> Iterator[str]:
    for target in targets_of(samples):
        counts = Counter(s.outcome for s in samples if s.target == target)
        yield f"{target}: " + ", ".join(f"{n} x {outcome}" for outcome, n in counts.most_common())


def _lateness(samples: Sequence[Sample]) -> Iterator[str]:
    late = sorted(sample.late_s for sample in samples)
    if late and percentile(late, 99) > _LATE_S:
        yield (
            f"This program sent 1% of its requests more than {percentile(late, 99) * 1000:.0f} ms "
            "late: the machine is too busy for this rate, and the times are not those of the servers."
        )
