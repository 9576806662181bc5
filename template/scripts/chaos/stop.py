"""E7: the container is asked to stop, once and twice."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

from scripts.chaos.client import QUESTION, Answer
from scripts.chaos.engine import Container, Engine, Service, docker
from scripts.chaos.row import Row

_DELAY_S = 3
_GRACE_S = 25
_SPARE_S = 3.0  # for a busy machine, and for Docker
_STREAMED = json.dumps({**QUESTION, "stream": True}).encode()


async def stop(engine: Engine) -> AsyncIterator[Row]:
    settings = {
        "LLM_PROVIDERS": "openai",
        "SHUTDOWN_DELAY_S": str(_DELAY_S),
        "SHUTDOWN_GRACE_S": str(_GRACE_S),
    }
    async with engine.service(settings) as service:
        await service.set_faults({"tokens_per_second": 6})
        streaming = await _begin_stream(service)
        started = time.perf_counter()
        await _signal(service)
        yield await _still_serving(service)
        yield _finished(await streaming)
        yield await _ended(service, started, "SIGTERM with a stream that runs", _GRACE_S)
    async with engine.service(settings) as service:
        await service.set_faults({"stall_after_chunks": 1})
        hanging = await _begin_stream(service)
        await _signal(service)
        await asyncio.sleep(0.5)
        started = time.perf_counter()
        await _signal(service)
        yield await _ended(service, started, "a second SIGTERM, with a stream that hangs", 0)
        hanging.cancel()


async def _begin_stream(service: Service) -> asyncio.Task[Answer]:
    streaming = asyncio.create_task(service.http.ask("POST", "/v1/chat", _STREAMED))
    await asyncio.sleep(0.5)
    return streaming


async def _signal(container: Container) -> None:
    await docker("kill", "--signal=TERM", container.id)


async def _still_serving(service: Service) -> Row:
    await asyncio.sleep(0.3)
    ready = await service.http.get("/readyz")
    alive = await service.http.get("/healthz")
    await service.set_faults()
    chat = await service.http.chat()
    statuses = [answer.status for answer in (ready, alive, chat)]
    return Row(
        "/readyz, /healthz and a question after SIGTERM",
        f"503, 200, 200 for {_DELAY_S} s",
        ", ".join(map(str, statuses)),
        statuses == [503, 200, 200] and ready.is_problem,
    )


def _finished(stream: Answer) -> Row:
    return Row(
        "a stream that runs at SIGTERM",
        "ends with its last event",
        f"{stream.status}, {'done' if b'event: done' in stream.body else 'cut'}",
        b"event: done" in stream.body,
    )


async def _ended(container: Container, started: float, sent: str, grace_s: float) -> Row:
    """Wait for the exit. The code is 0: it is asked to stop, which is no failure."""
    limit_s = _SPARE_S + (_DELAY_S + grace_s if grace_s else 0)
    code = "none"
    try:
        async with asyncio.timeout(limit_s + 10):
            code = await docker("wait", container.id)
    except TimeoutError:
        pass
    took_s = time.perf_counter() - started
    return Row(
        sent,
        f"exit 0 within {limit_s:g} s",
        f"exit {code} after {took_s:.1f} s",
        code == "0" and took_s < limit_s,
    )
