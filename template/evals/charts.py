"""The pictures of the report: SVG, drawn here, so that the page needs nothing but itself."""

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from evals.comparison import Comparison
from evals.scores import Result
from evals.words import milliseconds, points

_WIDTH = 540
_LABELS = 110  # left of where the values begin
_VALUES = _WIDTH - _LABELS - 60
_ROW = 30
_LANE = 84


def rates(now: Mapping[str, float], before: Mapping[str, float]) -> str:
    """A bar per tag, with a mark where it was before."""
    drawn = []
    for number, (tag, rate) in enumerate(now.items()):
        y = number * _ROW
        drawn += [
            _text(_LABELS - 10, y + 19, tag, "end"),
            _bar(_LABELS, y + 7, _VALUES, "track"),
            _bar(_LABELS, y + 7, _VALUES * rate, "good" if rate == 1 else "some"),
            _text(_LABELS + _VALUES + 8, y + 19, f"{rate:.0%}"),
        ]
        if tag in before:
            drawn.append(_mark(_LABELS + _VALUES * before[tag], y + 3, 20, "was"))
    return _svg(len(now) * _ROW, drawn, "Share of the cases that passed, by tag")


def latencies(results: Sequence[Result]) -> str:
    """A dot per case, in a lane per kind; lines at the median and the 95th percentile of all."""
    times = pd.Series([result.answer.latency_ms for result in results])
    scale = _VALUES / (times.max() or 1)
    lanes = sorted({result.case.kind for result in results})
    height = len(lanes) * _LANE
    drawn = [
        _text(_LABELS - 10, (lane + 0.5) * _LANE + 5, kind, "end")
        for lane, kind in enumerate(lanes)
    ]
    drawn += [
        _bar(_LABELS, (lane + 0.5) * _LANE - 2, _VALUES, "track", 2) for lane in range(len(lanes))
    ]
    for number, result in enumerate(results):
        y = (lanes.index(result.case.kind) + 0.5) * _LANE + (number % 7 - 3) * 9
        drawn.append(_dot(_LABELS + result.answer.latency_ms * scale, y, result))
    p50, p95 = float(times.quantile(0.5)), float(times.quantile(0.95))
    drawn += [_mark(_LABELS + value * scale, 0, height) for value in (p50, p95)]
    drawn += _side_by_side(
        height + 18,
        (_LABELS + p50 * scale, f"p50 {milliseconds(p50)}"),
        (_LABELS + p95 * scale, f"p95 {milliseconds(p95)}"),
    )
    return _svg(height + 26, drawn, "Latency of each case, by kind")


def change(comparison: Comparison) -> str:
    """The difference as a dot, its interval as a line: grey if the difference may be chance."""
    low, high = comparison.interval.low, comparison.interval.high
    widest = max(abs(low), abs(high), abs(comparison.difference), 0.05)
    middle, scale = _WIDTH / 2, (_WIDTH / 2 - 60) / widest
    place = middle + comparison.difference * scale
    side = "even"
    if comparison.is_beyond_chance:
        side = "good" if comparison.difference > 0 else "bad"
    drawn = [
        _mark(middle, 4, 42),
        _bar(middle + low * scale, 22, max((high - low) * scale, 2), side, 6),
        f'<circle class="{side}" cx="{place:.1f}" cy="25" r="8"/>',
        _text(middle, 62, "no change", "middle"),
        *(
            _text(middle + end * scale, 62, points(end), "middle")
            for end in _ends(low, high, scale)
        ),
    ]
    return _svg(70, drawn, "Difference of the pass rates, in points, with its 95% interval")


def history(rates_so_far: Sequence[tuple[str, float]]) -> str:
    """The pass rates of the last runs, joined."""
    step = (_WIDTH - 80) / max(len(rates_so_far) - 1, 1)
    places = [(40 + n * step, 20 + (1 - rate) * 100) for n, (_, rate) in enumerate(rates_so_far)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = [_bar(40, y, _WIDTH - 80, "track", 1) for y in (20, 70, 120)]
    drawn += [_text(0, y + 4, label) for y, label in ((20, "100%"), (70, "50%"), (120, "0%"))]
    drawn.append(f'<polyline class="line" points="{line}"/>')
    for (x, y), (name, rate) in zip(places, rates_so_far, strict=True):
        title = f"<title>{escape(name)}: {rate:.1%}</title>"
        drawn.append(f'<circle class="some" cx="{x:.1f}" cy="{y:.1f}" r="5">{title}</circle>')
    return _svg(130, drawn, "Pass rate of the last runs")


def _svg(height: float, drawn: Sequence[str], title: str) -> str:
    body = "".join(drawn)
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{title}">{body}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _bar(x: float, y: float, width: float, kind: str, height: float = 10) -> str:
    round_ = min(height, 10) / 2
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y + 1:.1f}" width="{width:.1f}"'
        f' height="{height}" rx="{round_}"/>'
    )


def _mark(x: float, y: float, height: float, kind: str = "mark") -> str:
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{y:.1f}" y2="{y + height:.1f}"/>'


def _dot(x: float, y: float, result: Result) -> str:
    kind = "good" if result.passed else "bad"
    title = f"{result.case.id}: {milliseconds(result.answer.latency_ms)}"
    return (
        f'<circle class="dot {kind}" cx="{x:.1f}" cy="{y:.1f}" r="5">'
        f"<title>{escape(title)}</title></circle>"
    )


def _side_by_side(y: float, left: tuple[float, str], right: tuple[float, str]) -> list[str]:
    """Two labels of two marks, which may be so close that the texts have to part."""
    apart = right[0] - left[0] > 110  # noqa: PLR2004 - the width of a label
    ends = ("middle", "middle") if apart else ("end", "start")
    shift = 0 if apart else 4
    return [
        _text(left[0] - shift, y, left[1], ends[0]),
        _text(right[0] + shift, y, right[1], ends[1]),
    ]


def _ends(low: float, high: float, scale: float) -> list[float]:
    """The ends of an interval that have room for a label beside that of the middle."""
    apart = 70 / scale
    return [end for end in (low, high) if abs(end) > apart]
