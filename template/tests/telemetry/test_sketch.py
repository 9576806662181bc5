import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.recent import RELATIVE_ERROR, QuantileSketch

QUANTILES = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
SHAPES = {
    "uniform": lambda dice: dice.uniform(0.001, 2),
    "exponential": lambda dice: dice.expovariate(2) + 1e-5,
    "lognormal": lambda dice: dice.lognormvariate(-3, 1.5),
    "heavy tail": lambda dice: 0.01 * dice.paretovariate(0.8),
    "two humps": lambda dice: dice.choice([0.004, 8]) * dice.uniform(0.9, 1.1),
    "constant": lambda _: 0.25,
}


def sketch_of(values: list[float]) -> QuantileSketch:
    sketch = QuantileSketch()
    for value in values:
        sketch.add(value)
    return sketch


def exact(values: list[float], q: float) -> float:
    return sorted(values)[max(math.ceil(q * len(values)), 1) - 1]


def assert_close(sketch: QuantileSketch, values: list[float]) -> None:
    for q in QUANTILES:
        assert sketch.quantile(q) == pytest.approx(exact(values, q), rel=RELATIVE_ERROR + 1e-9)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_percentile_is_within_one_percent(shape: Callable[[random.Random], float]) -> None:
    dice = random.Random(5)  # noqa: S311 - the same values each time
    values = [min(shape(dice), 86_400) for _ in range(5000)]
    assert_close(sketch_of(values), values)


@given(st.lists(st.floats(1e-6, 86_400), min_size=1, max_size=50))
def test_any_values_have_percentiles_within_the_error(values: list[float]) -> None:
    assert_close(sketch_of(values), values)


@given(st.lists(st.lists(st.floats(1e-6, 86_400), max_size=10), max_size=6))
def test_sketches_add_up(parts: list[list[float]]) -> None:
    together = sketch_of([value for part in parts for value in part])
    merged = QuantileSketch.merged(map(sketch_of, parts))
    assert merged.count == together.count
    assert [merged.quantile(q) for q in QUANTILES] == [together.quantile(q) for q in QUANTILES]


def test_nothing_has_no_percentiles() -> None:
    assert QuantileSketch().quantile(0.5) is None


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-9, 1e9, math.inf], ids=str)
def test_values_outside_the_range_are_counted_at_its_bound(value: float) -> None:
    sketch = sketch_of([value])
    bound = 1e-6 if value < 1 else 86_400
    assert sketch.quantile(1) == pytest.approx(bound, rel=RELATIVE_ERROR)


def test_its_memory_is_bounded() -> None:
    sketch = sketch_of([10 ** (exponent / 1000) for exponent in range(-9000, 9000)])
    assert sketch.count == 18_000
    assert len(sketch.buckets) <= 1260
