"""Plays a scenario in virtual time: the requests come at random moments, independent of each other."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog

from scripts.lab import clock
from scripts.lab.loop import now
from scripts.simulate.fleet import running
from scripts.simulate.load import Load
from scripts.simulate.provider import Provider
from scripts.simulate.recording import Recording
from scripts.simulate.redis_server import RedisServer, ServerPolicy
from scripts.simulate.scenario import Scenario, Size


@dataclass(frozen=True, slots=True)
class Played:
    scenario: Scenario
    size: Size
    recording: Recording
    redis: RedisServer


def play(scenario: Scenario, size: Size, seed: int = 1) -> Played:
    """The same seed gives the same requests, the same answers and the same jitter."""
    state = random.getstate()
    random.seed(seed)
    try:
        with counted_events() as events:
            played = clock.run(lambda: _play(scenario, size, seed))
    finally:
        random.setstate(state)
    played.recording.events = events
    return played


async def _play(scenario: Scenario, size: Size, seed: int) -> Played:
    capacity = scenario.redis / size.shrink
    redis = RedisServer(ServerPolicy(capacity=capacity, max_clients=size.max_clients))
    provider = Provider(seed=seed)
    recording = Recording()
    async with running(size.simulated_replicas, scenario.variables(size), redis, provider) as fleet:
        started_at = now()
        async with asyncio.TaskGroup() as group:
            for at_s, change in scenario.events:
                group.create_task(_at(at_s, change(fleet)))
            load = Load(size.simulated_rate, scenario.seconds, scenario.hot, seed)
            await load.send_all(fleet, recording, group)
    recording.called_s = [at - started_at for at in provider.called_at]
    return Played(scenario, size, recording, redis)


async def _at(at_s: float, change: Coroutine[Any, Any, None]) -> None:
    await asyncio.sleep(at_s)
    await change


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
