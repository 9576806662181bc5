"""A provider or Redis that fails while the other parts are well."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from scripts.chaos.client import Answer
from scripts.chaos.engine import Container, Engine, Service, docker
from scripts.chaos.row import Row, ms

_POOL = 20
_HANG = {"path": "/v1/chat/completions", "stall_after_chunks": 0}
_MAX_OVERFLOW_S = 2.0

_QUESTIONS = 100
_MAX_DELAY_S = 0.25
# The calls that find an outage wait for Redis, half a second at most. Later ones do not.
_MAX_DELAYED = 3
_MAX_LINES = 2
_RECOVERY_S = 30

Fault = Callable[[str], Awaitable[object]]


async def isolation(engine: Engine) -> AsyncIterator[Row]:
    """E6: a provider that hangs keeps its own connections, and nothing of the others."""
    settings = {"MAX_CONCURRENCY": str(_POOL), "REQUEST_TIMEOUT_S": "60"}
    async with engine.service(settings) as service:
        await service.set_faults(_HANG)
        hanging = [asyncio.create_task(_ask(service, f"hang {n}")) for n in range(_POOL)]
        await asyncio.sleep(1)
        named = [await _ask(service, f"named {n}", provider="anthropic") for n in range(_QUESTIONS)]
        unnamed = [await _ask(service, f"either {n}") for n in range(_QUESTIONS)]
        still_hanging = sum(not call.done() for call in hanging)
        for call in hanging:
            call.cancel()
    yield _isolated(f"{len(named)} questions for the healthy provider", named, still_hanging)
    yield _isolated(f"{len(unnamed)} questions for either provider", unnamed, still_hanging)


async def _ask(service: Service, text: str, **changes: object) -> Answer:
    """Ask a question of its own: equal ones share an answer."""
    return await service.http.chat(messages=[{"role": "user", "content": text}], **changes)


def _isolated(sent: str, answers: list[Answer], still_hanging: int) -> Row:
    answered = [answer for answer in answers if answer.status == 200]  # noqa: PLR2004 - HTTP
    slowest_s = max(answer.duration_s for answer in answers)
    return Row(
        sent,
        f"answered in < {_MAX_OVERFLOW_S:g} s beside {_POOL} that hang",
        f"{len(answered)} answered, slowest {ms(slowest_s)}, {still_hanging} hang",
        len(answered) == len(answers) and slowest_s < _MAX_OVERFLOW_S and still_hanging == _POOL,
    )


async def redis(engine: Engine) -> AsyncIterator[Row]:
    """E9: without Redis the service is slower to share and not slower to answer."""
    shared = await engine.redis()
    settings = {"REDIS_URL": "redis://redis:6379/0", "ENABLE_CACHING": "true"}
    async with engine.service({"LLM_PROVIDERS": "openai", **settings}) as service:
        for name, (begin, end) in _FAULTS.items():
            await _until_in_use(service)
            yield await _asked_during(service, shared, name, begin)
            await end(shared.id)


async def _asked_during(service: Service, shared: Container, name: str, begin: Fault) -> Row:
    before = await _lines(service)
    await begin(shared.id)
    answers = [await _ask(service, f"{name} {number}") for number in range(_QUESTIONS)]
    lines = await _lines(service) - before
    delayed = [answer for answer in answers if answer.duration_s > _MAX_DELAY_S]
    failed = [answer for answer in answers if answer.status != 200]  # noqa: PLR2004 - HTTP
    return Row(
        f"{_QUESTIONS} questions while Redis {name}",
        f"none failed, <= {_MAX_DELAYED} above {ms(_MAX_DELAY_S)}, 1 line",
        f"{len(failed)} failed, {len(delayed)} delayed, {lines} lines",
        not failed and len(delayed) <= _MAX_DELAYED and 1 <= lines <= _MAX_LINES,
    )


async def _lines(service: Service) -> int:
    return sum('"redis.unavailable"' in line for line in await service.log())


async def _until_in_use(service: Service) -> None:
    """Wait until the service uses Redis again: after an outage it probes for some seconds."""
    deadline = time.perf_counter() + _RECOVERY_S
    while time.perf_counter() < deadline:
        ready = await service.http.get("/readyz")
        if b'"degraded":[]' in ready.body:
            return
        await asyncio.sleep(0.5)


async def _fill(container: str) -> None:
    for name, value in (("maxmemory-policy", "noeviction"), ("maxmemory", "1")):
        await docker("exec", container, "redis-cli", "config", "set", name, value)


async def _empty(container: str) -> None:
    await docker("exec", container, "redis-cli", "config", "set", "maxmemory", "0")


async def _pause(container: str) -> None:
    await docker("pause", container)


async def _unpause(container: str) -> None:
    await docker("unpause", container)


async def _stop(container: str) -> None:
    await docker("stop", "--timeout=2", container)


async def _leave(_container: str) -> None:
    """The last fault has no end."""


_FAULTS: dict[str, tuple[Fault, Fault]] = {
    "is full": (_fill, _empty),
    "hangs": (_pause, _unpause),
    "is gone": (_stop, _leave),
}
