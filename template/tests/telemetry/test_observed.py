import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import assert_type

import pytest

from app.telemetry.metrics import Metrics
from app.telemetry.observed import observation, observed
from app.testing import CapturedLogs, captured_logs


@observed("test.plain", arguments=("number",))
def plain(number: int, text: str = "s") -> str:
    return text * (6 // number)


@observed("test.coroutine")
async def coroutine(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@observed("test.generator")
async def generator(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield 6 // (3 - number)


def count(name: str, outcome: str) -> float:
    """The number of runs since the process began: the histogram belongs to the process."""
    labels = {"operation": name, "outcome": outcome}
    found = Metrics().registry.get_sample_value("operation_duration_seconds_count", labels)
    return found or 0


def outcomes(logs: CapturedLogs) -> list[tuple[str, str]]:
    return [(line["operation"], line["outcome"]) for line in logs.events("operation.left")]


async def test_the_type_stays() -> None:
    """Lint fails when it does not: mypy checks the assertions, and that each ignore is needed."""
    assert_type(plain(1, text="s"), str)
    assert_type(await coroutine(0.0), float)
    async for number in generator(1):
        assert_type(number, int)
    with pytest.raises(TypeError):
        plain("1")  # type: ignore[arg-type]  # the parameters are still checked
    assert [f.__name__ for f in (plain, coroutine)] == ["plain", "coroutine"]
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isasyncgenfunction(generator)


async def test_every_kind_of_function_is_timed_counted_and_logged(logs: CapturedLogs) -> None:
    before = [count(f"test.{kind}", "ok") for kind in ("plain", "coroutine", "generator")]
    assert plain(2) == "sss"
    assert await coroutine(0.02) == 0.02
    assert [number async for number in generator(2)] == [2, 3]
    after = [count(f"test.{kind}", "ok") for kind in ("plain", "coroutine", "generator")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]
    assert outcomes(logs) == [(f"test.{k}", "ok") for k in ("plain", "coroutine", "generator")]
    assert logs.events("operation.left")[1]["duration_ms"] >= 19
    assert {line["level"] for line in logs.events("operation.entered")} == {"debug"}


async def test_a_failure_is_counted_and_raised(logs: CapturedLogs) -> None:
    before = count("test.plain", "error")
    with pytest.raises(ZeroDivisionError):
        plain(0)
    with pytest.raises(TypeError):
        await coroutine(None)  # type: ignore[arg-type]  # fails inside
    with pytest.raises(ZeroDivisionError):
        _ = [number async for number in generator(9)]
    assert count("test.plain", "error") == before + 1
    assert [outcome for _, outcome in outcomes(logs)] == ["error"] * 3
    assert logs.events("operation.left")[0]["error"] == "ZeroDivisionError"


async def test_a_cancelled_function_is_not_a_failure(logs: CapturedLogs) -> None:
    task = asyncio.create_task(coroutine(60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    async with aclosing(generator(3)) as numbers:
        await anext(numbers)
    assert outcomes(logs) == [("test.coroutine", "cancelled"), ("test.generator", "cancelled")]


async def test_outcomes_are_counted_without_lines_above_the_debug_level() -> None:
    outcomes = ("ok", "error", "cancelled")
    before = [count("test.coroutine", outcome) for outcome in outcomes]
    with captured_logs("INFO") as logs:
        assert await coroutine(0.0) == 0.0
        with pytest.raises(TypeError):
            await coroutine(None)  # type: ignore[arg-type]  # fails inside
        task = asyncio.create_task(coroutine(60))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    after = [count("test.coroutine", outcome) for outcome in outcomes]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]
    assert logs.lines == []


async def test_a_closed_generator_is_closed_inside() -> None:
    closed = False

    @observed("test.closing")
    async def closing() -> AsyncGenerator[int, None]:
        nonlocal closed
        try:
            yield 1
        finally:
            closed = True

    async with aclosing(closing()) as numbers:
        await anext(numbers)
    assert closed


def test_only_named_arguments_are_logged(logs: CapturedLogs) -> None:
    plain(2, text="confidential")
    assert [line["number"] for line in logs.events("operation.entered")] == [2]
    assert "confidential" not in logs.text


def test_an_argument_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="plain has no argument top_k"):
        observed("test.plain", arguments=("top_k",))(plain)


def test_a_block_is_watched_as_well(logs: CapturedLogs) -> None:
    before = count("test.block", "ok")
    with observation("test.block", size=3):
        pass
    assert count("test.block", "ok") == before + 1
    assert [line["size"] for line in logs.lines] == [3, 3]


async def test_calls_at_the_same_time_do_not_mix(logs: CapturedLogs) -> None:
    await asyncio.gather(coroutine(0.05), coroutine(0.0))
    short, long = (line["duration_ms"] for line in logs.events("operation.left"))
    assert short < 49 <= long
