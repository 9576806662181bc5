"""E7: replicas behind nginx are replaced one by one under load, without taking them out first.

Each replica runs in the network of a container that stays, as in a Kubernetes pod: so its address stays,
and its closed port refuses connections at once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
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


# The servers of nginx.conf, up to the number of replicas.
_START_NGINX = (
    "sed '/replica-[{first_unused}-9]:/d' /nginx.conf > /etc/nginx/conf.d/default.conf"
    " && exec nginx -g 'daemon off;'"
)


class Replica(NamedTuple):
    """The container with the address, and the one with the service."""

    place: Container
    service: Container


async def rolling(engine: Engine) -> AsyncIterator[Row]:
    statuses: Counter[int] = Counter()
    async with (
        balanced(engine, _REPLICAS, _SETTINGS) as (balancer, replicas),
        asking(balancer, statuses),
    ):
        for number in range(engine.replacements):
            await replace(engine, replicas, number % _REPLICAS, _SETTINGS)
    yield none_failed(statuses, f"{engine.replacements} replacements of {_REPLICAS} replicas")


def none_failed(statuses: Counter[int], events: str) -> Row:
    failed = {status: count for status, count in statuses.items() if status != _OK}
    return Row(
        f"{statuses.total():,} questions, {events}",
        "none failed behind nginx",
        f"{sum(failed.values())} failed {failed or ''}".strip(),
        statuses[_OK] > 0 and not failed,
    )


@asynccontextmanager
async def asking(balancer: Client, statuses: Counter[int]) -> AsyncIterator[None]:
    """Ask questions for the time of the block, and count their statuses."""
    load = [asyncio.create_task(_ask_on(balancer, caller, statuses)) for caller in range(_CALLERS)]
    try:
        yield
    finally:
        for task in load:
            task.cancel()


@asynccontextmanager
async def balanced(
    engine: Engine, count: int, settings: Mapping[str, str]
) -> AsyncIterator[tuple[Client, list[Replica]]]:
    """So many replicas behind nginx, with the mock API as their provider."""
    api = await engine.mock_api()
    replicas = []
    for number in range(1, count + 1):
        alias = f"--network-alias=replica-{number}"
        place = await engine.start(alias, published(8000), engine.image, "sleep", "infinity")
        replicas.append(await _served(engine, place, settings))
    conf = f"--volume={SCRIPTS / 'chaos/nginx.conf'}:/nginx.conf:ro"
    command = _START_NGINX.format(first_unused=count + 1)
    nginx = await engine.start(published(80), conf, _NGINX, "sh", "-c", command)
    try:
        balancer = await nginx.client(80)
        await answering(balancer)
        yield balancer, replicas
    finally:
        ended = [nginx, api, *(each for replica in replicas for each in replica)]
        await docker("rm", "--force", "--volumes", *(each.id for each in ended))


async def _served(engine: Engine, place: Container, settings: Mapping[str, str]) -> Replica:
    service = await engine.start_service(settings, f"--network=container:{place.id}")
    await answering(await place.client(8000))
    return Replica(place, service)


async def replace(
    engine: Engine, replicas: list[Replica], number: int, settings: Mapping[str, str]
) -> None:
    old = replicas[number]
    await docker("kill", "--signal=TERM", old.service.id)
    await docker("wait", old.service.id)
    await docker("rm", old.service.id)
    replicas[number] = await _served(engine, old.place, settings)


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
