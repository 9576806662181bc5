"""E7: replicas behind nginx are replaced one by one under load, without taking them out first.

Each replica runs in the network of a container that stays, as in a Kubernetes pod: so its address stays,
and its closed port refuses connections at once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from scripts.chaos.client import QUESTION, Client
from scripts.chaos.engine import SCRIPTS, Container, Engine, answering, docker, published
from scripts.chaos.row import Row

_REPLICAS = 3
_CALLERS = 20
_PER_SECOND = 200
_STREAMED_EVERY = 10
_OK = 200
_SETTINGS = {"LLM_PROVIDERS": "openai", "SHUTDOWN_DELAY_S": "1", "SHUTDOWN_GRACE_S": "20"}
_NGINX = "nginx:alpine"


class Replica(NamedTuple):
    """The container with the address, and the one with the service."""

    place: Container
    service: Container


async def rolling(engine: Engine) -> AsyncIterator[Row]:
    statuses: Counter[int] = Counter()
    async with _balanced(engine) as (balancer, replicas):
        callers = [_ask_on(balancer, caller, statuses) for caller in range(_CALLERS)]
        load = [asyncio.create_task(caller) for caller in callers]
        for number in range(engine.replacements):
            await _replace(engine, replicas, number % _REPLICAS)
        for task in load:
            task.cancel()
    failed = {status: count for status, count in statuses.items() if status != _OK}
    yield Row(
        f"{statuses.total():,} questions, {engine.replacements} replacements of {_REPLICAS} replicas",
        "none failed behind nginx",
        f"{sum(failed.values())} failed {failed or ''}".strip(),
        statuses[_OK] > 0 and not failed,
    )


@asynccontextmanager
async def _balanced(engine: Engine) -> AsyncIterator[tuple[Client, list[Replica]]]:
    api = await engine.mock_api()
    replicas = []
    for number in range(1, _REPLICAS + 1):
        alias = f"--network-alias=replica-{number}"
        place = await engine.start(alias, published(8000), engine.image, "sleep", "infinity")
        replicas.append(await _served(engine, place))
    conf = f"--volume={SCRIPTS / 'chaos/nginx.conf'}:/etc/nginx/conf.d/default.conf:ro"
    nginx = await engine.start(published(80), conf, _NGINX)
    try:
        balancer = await nginx.client(80)
        await answering(balancer)
        yield balancer, replicas
    finally:
        ended = [nginx, api, *(each for replica in replicas for each in replica)]
        await docker("rm", "--force", "--volumes", *(each.id for each in ended))


async def _served(engine: Engine, place: Container) -> Replica:
    service = await engine.start_service(_SETTINGS, f"--network=container:{place.id}")
    await answering(await place.client(8000))
    return Replica(place, service)


async def _replace(engine: Engine, replicas: list[Replica], number: int) -> None:
    old = replicas[number]
    await docker("kill", "--signal=TERM", old.service.id)
    await docker("wait", old.service.id)
    await docker("rm", old.service.id)
    replicas[number] = await _served(engine, old.place)


async def _ask_on(balancer: Client, caller: int, statuses: Counter[int]) -> None:
    """Ask questions of its own at a steady rate, until it is cancelled."""
    number = 0
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        number += 1
        text = f"Question {number} of caller {caller}"
        asked = {**QUESTION, "messages": [{"role": "user", "content": text}]}
        statuses[await _status(balancer, asked, is_streamed=number % _STREAMED_EVERY == 0)] += 1
        await asyncio.sleep(max(0.0, started + number * _CALLERS / _PER_SECOND - loop.time()))


async def _status(balancer: Client, asked: dict[str, object], *, is_streamed: bool) -> int:
    """The status; 0 for a stream without its last event."""
    answer = await balancer.chat(**asked, stream=is_streamed)
    is_whole = not is_streamed or b"event: done" in answer.body
    return answer.status if answer.status != _OK or is_whole else 0
