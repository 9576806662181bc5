"""The picture of a run: SVG, drawn here, so that it needs nothing but itself."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from scripts.load.report import MEASURES, sorted_ms, targets_of
from scripts.load.run import Load, Sample

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP = 720, 300, 64, 24, 40
_PLOT_W, _PLOT_H = _WIDTH - _LEFT - _RIGHT, _PANEL - 90
_COLOURS = ("#8b95a1", "#2563eb")  # direct, service
_STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #1f2933 } .title { font-size: 15px; font-weight: 600 }
.grid { stroke: #d5dae0 } .page { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #e4e7eb } .grid { stroke: #3e4c59 } .page { fill: #1a1f25 } }
</style>"""


def picture(samples: Sequence[Sample], load: Load) -> str:
    """One panel per measure: the share of answers that took at most this long."""
    targets = targets_of(samples)
    height = _TOP + _PANEL * len(MEASURES)
    drawn = [_text(_LEFT, 24, f"{load.rate:g} requests a second, {load.seconds:g} s", "title")]
    for number, measure in enumerate(MEASURES):
        series = {target: sorted_ms(samples, target, measure) for target in targets}
        drawn += _panel(_TOP + number * _PANEL, measure, series)
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f'{_STYLE}<rect class="page" width="{_WIDTH}" height="{height}"/>\n{body}</svg>\n'
    )


def _panel(top: float, measure: str, series: dict[str, list[float]]) -> Iterator[str]:
    highest = max((values[-1] for values in series.values() if values), default=1.0)
    step = _step(highest)
    widest = math.ceil(highest / step) * step
    yield _text(_LEFT, top + 22, f"{measure}: share of the answers within a time", "title")
    yield from _grid(top + 36, widest, step)
    for number, (target, values) in enumerate(series.items()):
        colour = _COLOURS[(number + 2 - len(series)) % 2]
        yield from _curve(top + 36, values, widest, colour)
        x = _LEFT + _PLOT_W - 170 + number * 90
        yield f'<rect x="{x}" y="{top + 12}" width="14" height="10" rx="3" fill="{colour}"/>'
        yield _text(x + 20, top + 22, target)


def _grid(top: float, widest: float, step: float) -> Iterator[str]:
    for share in (0, 25, 50, 75, 100):
        y = top + _PLOT_H * (1 - share / 100)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _PLOT_W}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, f"{share}%", anchor="end")
    for tick in range(round(widest / step) + 1):
        x = _LEFT + _PLOT_W * tick * step / widest
        yield _text(x, top + _PLOT_H + 20, f"{tick * step:g} ms", anchor="middle")


def _curve(top: float, values: Sequence[float], widest: float, colour: str) -> Iterator[str]:
    """Steps from 0 to 100%: each answer is one step."""
    if not values:
        return
    points = [f"M{_LEFT} {top + _PLOT_H}"]
    for number, value in enumerate(values, 1):
        y = top + _PLOT_H * (1 - number / len(values))
        points.append(f"H{_LEFT + _PLOT_W * value / widest:.1f}V{y:.1f}")
    yield f'<path d="{"".join(points)}" fill="none" stroke="{colour}" stroke-width="2.5"/>'


def _step(highest: float) -> float:
    """A round distance of ticks, so that there are at most six."""
    power: float = 10 ** math.floor(math.log10(highest / 6))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * 6 >= highest)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )
