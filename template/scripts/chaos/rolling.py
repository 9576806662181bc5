"""E7: replicas behind nginx are replaced one by one under load, without taking them out first.

Each replica runs in the network of a container that stays, as in a Kubernetes pod: so its address stays,
and its closed port refuses connections at once.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

from scripts.chaos.client import Client
from scripts.chaos.engine import SCRIPTS, Container, Engine, answering, docker, published
from scripts.chaos.row import Row
from scripts.chaos.steady import Load, Tally, steady

_REPLICAS = 3
_LOAD = Load(per_s=200, most_at_once=20)
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
    times = engine.sizes.replacements
    async with (
        balanced(engine, _REPLICAS, _SETTINGS) as (balancer, replicas),
        steady(balancer, _LOAD) as tally,
    ):
        for number in range(times):
            await replace(engine, replicas, number % _REPLICAS, _SETTINGS)
    yield none_failed(tally, f"{times} replacements of {_REPLICAS} replicas")


def none_failed(tally: Tally, event: str) -> Row:
    return Row(
        f"{event}, {tally.per_s:.0f} a second for {tally.asked_s:.0f} s",
        "0 failed behind nginx",
        str(tally),
        tally.answered > 0 and not tally.failed,
    )


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
