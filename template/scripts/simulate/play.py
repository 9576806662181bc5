"""Plays requests against replicas, in virtual time."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import structlog

from scripts.lab import clock
from scripts.lab.loop import now
from scripts.simulate.fleet import Fleet, running
from scripts.simulate.load import Load, Request, send_all
from scripts.simulate.provider import Provider
from scripts.simulate.recording import Recording
from scripts.simulate.redis_server import RedisServer, ServerPolicy
from scripts.simulate.scenario import Scenario, Size

T = TypeVar("T")

# A date of today: numbers of the time have as many digits as they have in Redis.
_EPOCH_S = 1_750_000_000


@dataclass(frozen=True, slots=True)
class Played:
    scenario: Scenario
    size: Size
    recording: Recording
    redis: RedisServer


def play(scenario: Scenario, size: Size, seed: int = 1) -> Played:
    """The same seed gives the same requests, the same answers and the same jitter."""
    return in_virtual_time(lambda: _play(scenario, size, seed), seed)


def replay(
    requests: Iterable[Request], replicas: int, settings: Mapping[str, str], answer_s: float
) -> Recording:
    """Play given requests; each answer of the provider takes the same time."""

    async def scenario() -> Recording:
        provider = Provider(answer_s=answer_s, spread=0.0)
        server = RedisServer(ServerPolicy())
        async with running(replicas, settings, server, provider) as fleet:
            return await _perform(fleet, requests)

    return in_virtual_time(scenario)


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, T]], seed: int = 1) -> T:
    async def dated() -> T:
        with clock.replaced(time, "time", lambda: _EPOCH_S + now()):
            return await scenario()

    state = random.getstate()
    random.seed(seed)
    try:
        return clock.run(dated)
    finally:
        random.setstate(state)


async def _play(scenario: Scenario, size: Size, seed: int) -> Played:
    capacity = scenario.redis / size.shrink
    redis = RedisServer(ServerPolicy(capacity=capacity, max_clients=size.max_clients))
    replicas, provider = size.simulated_replicas, Provider(seed=seed)
    load = Load(size.simulated_rate, scenario.seconds, scenario.hot, scenario.clients)
    async with running(replicas, scenario.variables(size), redis, provider) as fleet:
        changes = [asyncio.create_task(_at(at_s, do(fleet))) for at_s, do in scenario.events]
        recording = await _perform(fleet, load.requests(replicas, seed))
        await asyncio.gather(*changes)
    return Played(scenario, size, recording, redis)


async def _at(at_s: float, change: Coroutine[Any, Any, None]) -> None:
    await asyncio.sleep(at_s)
    await change


async def _perform(fleet: Fleet, requests: Iterable[Request]) -> Recording:
    started_at = now()
    recording = Recording()
    with counted_events() as events:
        await send_all(requests, fleet, recording)
    recording.events = events
    recording.called_s = [at - started_at for at in fleet.provider.called_at]
    recording.asked_again = fleet.provider.asked_again
    return recording


@contextmanager
def counted_events() -> Iterator[Counter[str]]:
    """Count the events of the log instead of writing them: writing takes longer than a guard."""
    events = Counter[str]()

    def count(_logger: object, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
        events[event["event"]] += 1
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[count],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    try:
        yield events
    finally:
        structlog.configure(**before)
