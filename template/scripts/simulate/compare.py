"""Four real processes and four simulated replicas get the same requests at the same moments.

The processes share a real Redis, and call the mock API. The time of one call without other requests is
measured before, and given to the simulation. Nothing else is.
"""

import asyncio
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from secrets import token_hex

import httpx2

from scripts.bench.telemetry import running as running_process
from scripts.load.run import Load, Target, run
from scripts.simulate.load import Request
from scripts.simulate.play import replay
from scripts.simulate.recording import percentile

PROCESSES = 4
LIMIT_PERCENT = 10.0
_ANSWER_MS = 300
_REFUSED = {"429", "503"}
# A quiet time before the requests, to measure the time of one call.
_QUIET = Load(rate=2, seconds=5, seed=99)


@dataclass(frozen=True, slots=True)
class Condition:
    """`rate` is the number of requests a second to each process."""

    title: str
    rate: float
    settings: Mapping[str, str]
    seconds: float = 15.0


CONDITIONS: Mapping[str, Condition] = {
    "limit": Condition(
        "the requests are twice the provider's limit, which the processes share",
        rate=8,
        settings={
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "960",
            "RATE_LIMIT_BURST": "16",
            "RATE_LIMIT_MAX_WAIT_S": "1",
        },
    ),
    "queue": Condition(
        "the requests are one and a half times the connections of each process",
        rate=10,
        settings={
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "100000",
            "MAX_CONCURRENCY": "2",
            "QUEUE_LENGTH": "3",
        },
    ),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    calls: int
    refusals: int
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Pair:
    real: Outcome
    simulated: Outcome

    def differences(self) -> dict[str, float]:
        """In percent of the real one."""
        return {
            name: abs(getattr(self.simulated, name) / getattr(self.real, name) - 1) * 100
            for name in ("calls", "refusals", "p99_ms")
        }

    def __str__(self) -> str:
        rows = [
            f"  {name:<10} {getattr(self.real, name):>8.0f} {getattr(self.simulated, name):>10.0f} {percent:>6.1f}%"
            for name, percent in self.differences().items()
        ]
        return "\n".join([f"  {'':<10} {'real':>8} {'simulated':>10} {'differ':>7}", *rows])

    @property
    def agrees(self) -> bool:
        return all(value <= LIMIT_PERCENT for value in self.differences().values())


def compare(condition: Condition, redis_url: str, seed: int = 1) -> Pair:
    load = Load(condition.rate, condition.seconds, seed)
    with _processes(condition.settings, redis_url) as (mock, targets):
        quiet = asyncio.run(run(targets[:1], _QUIET))
        answer_s = statistics.median(sample.whole_s for sample in quiet)
        calls_before = _calls(mock)
        samples = asyncio.run(run(targets, load))
        calls = _calls(mock) - calls_before - len(targets)  # `run` sends one to each before
    waits_s = sorted(sample.whole_s for sample in samples if sample.is_answered)
    refusals = sum(sample.outcome in _REFUSED for sample in samples)
    real = Outcome(calls, refusals, percentile(waits_s, 0.99) * 1000)
    return Pair(real, _simulated(condition, targets, load, answer_s))


def best_of(tries: int, condition: Condition, redis_url: str, seed: int = 1) -> Pair:
    """The first pair that agrees, or the closest one: a busy machine delays real requests."""
    pairs: list[Pair] = []
    while len(pairs) < tries and not (pairs and pairs[-1].agrees):
        pairs.append(compare(condition, redis_url, seed))
    return min(pairs, key=lambda pair: max(pair.differences().values()))


def _simulated(
    condition: Condition, targets: Sequence[Target], load: Load, answer_s: float
) -> Outcome:
    requests = [
        Request(at_s, index, f"What happens at {at_s:.9f} s?")
        for index, target in enumerate(targets)
        for at_s in load.times(target.name)
    ]
    requests.sort(key=lambda request: request.at_s)
    recording = replay(requests, len(targets), condition.settings, answer_s)
    p99_s = percentile(recording.waits_s(), 0.99)
    return Outcome(len(recording.called_s), recording.refused, p99_s * 1000)


@contextmanager
def _processes(settings: Mapping[str, str], redis_url: str) -> Iterator[tuple[str, list[Target]]]:
    shared = {
        "LLM_PROVIDERS": "openai",
        "REDIS_URL": redis_url,
        "REDIS_PREFIX": f"simulate-{token_hex(4)}",
        **settings,
    }
    with ExitStack() as opened:
        mock = opened.enter_context(running_process("mock_api"))
        faults = {"latency_ms": _ANSWER_MS}
        httpx2.put(f"{mock}/_mock/faults", json=faults, trust_env=False).raise_for_status()
        addresses = [
            opened.enter_context(running_process("app", mock=mock, **shared))
            for _ in range(PROCESSES)
        ]
        yield mock, [
            Target(f"process {number}", f"{address}/openai/v1")
            for number, address in enumerate(addresses)
        ]


def _calls(mock: str) -> int:
    """The mock API numbers the requests that it receives."""
    received = httpx2.get(f"{mock}/_mock/requests", trust_env=False).raise_for_status().json()
    return max((each["seq"] for each in received), default=0)
