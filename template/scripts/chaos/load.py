"""More requests, and larger ones, than the container can hold."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from statistics import median

from scripts.chaos.client import Answer, Client, parsed, request
from scripts.chaos.engine import MEMORY_MB, SCRIPTS, Engine, Service
from scripts.chaos.prober import probing
from scripts.chaos.row import Row, ms

_CONNECTIONS = 8
_LATENCY_S = 0.5
_CAPACITY = _CONNECTIONS / _LATENCY_S  # calls a second
_LOAD_S = 6.0
_MAX_SHED_S = 0.25
_MAX_RECOVERY_S = 5.0

_BATCHES = 24
_TEXTS = json.dumps({"texts": [f"text {number}" for number in range(10_000)]}).encode()
_BATCH_S = 180
# Shorter than the time after which the service disconnects a client that does not read.
_PAUSE_S = 20.0

_STATUSES = {200, 503}


async def overload(engine: Engine) -> AsyncIterator[Row]:
    """E4: at five times its capacity the service refuses at once, and serves the rest as usual."""
    settings = {"LLM_PROVIDERS": "openai", "MAX_CONCURRENCY": str(_CONNECTIONS)}
    async with engine.service(settings) as service:
        await service.set_faults({"latency_ms": _LATENCY_S * 1000})
        usual_s = median([(await service.http.chat()).duration_s for _ in range(4)])
        with probing(service.http) as prober:
            answers = await _offer(service.http, 5 * _CAPACITY, _LOAD_S)
        recovered_s = await _recovered_after_s(service.http, usual_s)
    shed = [answer for answer in answers if answer.status == 503]  # noqa: PLR2004 - HTTP
    answered = [answer for answer in answers if answer.status == 200]  # noqa: PLR2004 - HTTP
    sent = f"{len(answers)} questions, 5 times the capacity"
    others = sorted({answer.status for answer in answers} - _STATUSES)
    yield Row(
        sent,
        "answered, or 503 with Retry-After",
        f"{len(answered)} x 200, {len(shed)} x 503, others {others}",
        not others
        and len(answered) >= _CAPACITY * _LOAD_S * 0.6
        and all(answer.headers.get("retry-after", "").isdigit() for answer in shed),
    )
    shed_s = _typical_s(shed)
    yield Row(sent, f"refused in < {ms(_MAX_SHED_S)}", ms(shed_s), shed_s < _MAX_SHED_S)
    answered_s = _typical_s(answered)
    yield Row(
        sent,
        f"accepted within 2 x {ms(usual_s)}",
        f"{ms(answered_s)} ({answered_s / usual_s:.1f} x)",
        answered_s < 2 * usual_s,
    )
    yield Row(
        sent,
        "every probe answered in < 1 s",
        f"{prober.failed} failed, the slowest {ms(prober.longest_s)}",
        prober.answered > 0 and prober.failed == 0 and prober.longest_s < 1,
    )
    yield Row(
        "a question after the load",
        f"as fast as usual after < {_MAX_RECOVERY_S:g} s",
        f"{recovered_s:.1f} s",
        recovered_s < _MAX_RECOVERY_S,
    )


def _typical_s(answers: list[Answer]) -> float:
    return median([answer.duration_s for answer in answers]) if answers else float("inf")


async def _offer(service: Client, per_second: float, seconds: float) -> list[Answer]:
    """Send requests at a fixed rate, whether earlier ones are answered or not."""
    loop = asyncio.get_running_loop()
    started, calls = loop.time(), []
    for number in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, started + number / per_second - loop.time()))
        calls.append(asyncio.create_task(_ask(service, number)))
    return await asyncio.gather(*calls)


async def _ask(service: Client, number: int) -> Answer:
    """Ask a question of its own: equal ones share an answer."""
    return await service.chat(messages=[{"role": "user", "content": f"Question {number}"}])


async def _recovered_after_s(service: Client, usual_s: float) -> float:
    started = time.perf_counter()
    while time.perf_counter() - started < 2 * _MAX_RECOVERY_S:
        answer = await service.chat()
        if answer.status == 200 and answer.duration_s < 2 * usual_s:  # noqa: PLR2004 - HTTP
            break
    return time.perf_counter() - started


async def memory(engine: Engine) -> AsyncIterator[Row]:
    """E5: the most that callers may send at once, with readers that are in no hurry."""
    mounted = f"--volume={SCRIPTS}:/scripts/scripts:ro"
    provider = await engine.start(
        mounted, "--workdir=/scripts", "--network-alias=embeddings", engine.image,
        "python", "-m", "scripts.chaos.provider",
    )  # fmt: skip
    del provider  # it ends with the run
    settings = {
        "LLM_PROVIDERS": "openai",
        "OPENAI_BASE_URL": "http://embeddings:9000/v1",
        # The queue in front of the provider would refuse before the memory does.
        "QUEUE_LENGTH": "10000",
        "QUEUE_TIMEOUT_S": "60",
    }
    async with engine.service(settings, mock=False) as service:
        statuses = await _embed_at_once(service)
        peak_mb, state = await _peak_mb(service)
        after = await service.http.get("/healthz") if state["Running"] else Answer()
    yield Row(
        f"{_BATCHES} batches of 10,000 texts, with slow readers",
        f"200 or 503, < {MEMORY_MB} MB, not killed",
        f"{dict(sorted(statuses.items()))}, {peak_mb} MB, killed: {state['OOMKilled']}",
        statuses[200] > 0
        and set(statuses) <= _STATUSES
        and peak_mb < MEMORY_MB
        and not state["OOMKilled"]
        and after.status == 200,  # noqa: PLR2004 - HTTP
    )


async def _peak_mb(service: Service) -> tuple[int, dict[str, object]]:
    state = dict(await service.state())
    return (await service.peak_mb() if state["Running"] else MEMORY_MB), state


async def _embed_at_once(service: Service) -> Counter[int]:
    return Counter(await asyncio.gather(*(_embed(service.http) for _ in range(_BATCHES))))


async def _embed(service: Client) -> int:
    """The status of a batch; 0 if its answer does not end. The reader pauses after the first bytes."""
    async with asyncio.timeout(_BATCH_S), service.connected() as connection:
        await connection.send(request("POST", "/v1/embeddings", _TEXTS))
        head, last = b"", b""
        with suppress(OSError):
            while piece := await connection.reader.read(65_536):
                if not head:
                    await asyncio.sleep(_PAUSE_S)
                head, last = head or piece, (last + piece)[-200:]
    status = parsed(head).status
    is_whole = status != 200 or last.endswith(b"]}\r\n0\r\n\r\n")  # noqa: PLR2004 - HTTP
    return status if is_whole else 0
