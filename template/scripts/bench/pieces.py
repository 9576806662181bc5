"""Measures the parts of the telemetry one by one: the time of one call, in microseconds."""

import io
import time
import timeit
from collections.abc import Callable, Iterator

import structlog

from app.llm.price_files import current_prices
from app.llm.types import Usage
from app.telemetry.logging import LogPolicy, configure
from app.telemetry.metrics import Metrics
from app.telemetry.observed import observation
from app.telemetry.recent import Recent
from app.telemetry.redaction import masked
from scripts.bench.figure import Figure

_CALLS = 20_000
_FACTS = {
    "provider": "openai",
    "operation": "chat",
    "model": "gpt-5-mini",
    "stream": False,
    "outcome": "ok",
    "latency_ms": 812.345,
    "finish_reason": "stop",
    "prompt_tokens": 128,
    "completion_tokens": 256,
    "cost_usd": 0.000544,
}


def what_telemetry_is_made_of() -> Iterator[Figure]:
    line = _line_of_a_call()
    metrics, recent, prices = Metrics(), Recent(), current_prices()
    log = structlog.get_logger("bench")
    usage = Usage(prompt_tokens=128, completion_tokens=256, total_tokens=384)
    yield _figure("a line in the log, masked", lambda: log.info("llm.call", **_FACTS))
    yield _figure("of that: masking a line without a secret", lambda: masked(line))
    yield _figure("a line below the level", lambda: log.debug("llm.call", **_FACTS))
    yield _figure("a call counted", _count(metrics))
    yield _figure("of that: its place in the window", lambda: recent.add("p", 0.8, failed=False))
    yield _figure("a call priced", lambda: prices.cost_usd("openai", "gpt-5-mini", usage))
    yield _figure("a block observed", _observe)
    for number in range(100_000):
        recent.add("p", number / 1000, failed=False)
    yield _figure("the percentiles of 100,000 calls", recent.statistics, calls=200)


def _line_of_a_call() -> bytes:
    stream = io.BytesIO()
    configure(LogPolicy(format="json"), stream=stream)
    structlog.get_logger("bench").info("llm.call", **_FACTS)
    return stream.getvalue()


def _count(metrics: Metrics) -> Callable[[], None]:
    return lambda: metrics.llm_request("p", "chat", "m", "ok", 0.8, provider_s=0.7)


def _observe() -> None:
    with observation("bench"):
        pass


def _figure(name: str, call: Callable[[], object], *, calls: int = _CALLS) -> Figure:
    seconds = min(timeit.repeat(call, number=calls, repeat=3, timer=time.process_time)) / calls
    return Figure(name, seconds * 1e6, "µs")
