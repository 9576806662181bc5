"""Clients that send too much, too slowly or nonsense."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

from scripts.chaos.client import Answer, Client, Connection, request
from scripts.chaos.engine import Engine, Service
from scripts.chaos.prober import probing
from scripts.chaos.row import Row, ms
from scripts.chaos.slow_bodies import CHAT, OTHERS

_MAX_STALL_S = 0.05
# A busy machine lengthens one run of many, and a slow body is slow in every run.
_ATTEMPTS = 10

_HEAD_MB = 40
_HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
_BODY = b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
_DRIPS = {"head": (_HEAD, b"a"), "body": (_BODY, b" "), "nothing": (b"", b"")}
_MAX_DRIP_S = {"head": 10.0, "body": 30.0, "nothing": 10.0}
_SPARE_S = 3.0  # for a busy machine
_IDLE = 2_000

_YEAR_S = 365 * 24 * 3600
_MAX_RETRY_AFTER_S = 3600
_WRONG = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    "two Host headers": (_HEAD + b"Host: y\r\n\r\n", 400),
    "no Host header": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "a body of 3 MB": (request("POST", "/v1/chat", b"x" * 3_000_000), 413),
}
_WRONGS = 200
_MAX_LINES = 5


async def slow_text(engine: Engine) -> AsyncIterator[Row]:
    """E1: no input holds the loop."""
    bodies = [(f"chat: {name}", "/v1/chat", body) for name, body in CHAT.items()]
    bodies += [(f"{path}: {name}", path, body) for (path, name), body in OTHERS.items()]
    async with engine.service() as service:
        stalls = {
            name: await _least_stall_s(service.http, path, body) for name, path, body in bodies
        }
    worst = max(stalls, key=lambda name: stalls[name])
    yield Row(
        f"{len(bodies)} bodies that are slow to check, of up to 2 MB",
        f"/healthz delayed by < {ms(_MAX_STALL_S)}",
        f"{ms(stalls[worst])} ({worst})",
        stalls[worst] < _MAX_STALL_S,
    )


async def _least_stall_s(service: Client, path: str, body: bytes) -> float:
    """The stall beyond that of a body of this size without a reader, at the best of some attempts."""
    stalls_s: list[float] = []
    while len(stalls_s) < _ATTEMPTS and min(stalls_s, default=1) >= _MAX_STALL_S:
        unread_s = await _longest_stall_s(service, "/nothing", body)
        stalls_s.append(max(0.0, await _longest_stall_s(service, path, body) - unread_s))
    return min(stalls_s)


async def _longest_stall_s(service: Client, path: str, body: bytes) -> float:
    with probing(service) as prober:
        await asyncio.sleep(0.05)
        await service.ask("POST", path, body)
        await asyncio.sleep(0.05)
    return prober.longest_s


async def endless_head(engine: Engine) -> AsyncIterator[Row]:
    """E2: 431 and close at 64 KB."""
    async with engine.service() as service:
        before_mb = await service.peak_mb()
        async with service.http.connected() as connection:
            answer, sent_mb = await _send_headers(connection)
        grown_mb = await service.peak_mb() - before_mb
        state = await service.state()
    yield Row(
        f"{_HEAD_MB} MB of headers on one connection",
        "431 as a problem, closed, < 10 MB more",
        f"{answer.status} after {sent_mb:.1f} MB sent, {grown_mb} MB more",
        answer.status == 431  # noqa: PLR2004 - HTTP
        and answer.is_problem
        and sent_mb < _HEAD_MB
        and grown_mb < 10  # noqa: PLR2004 - the limit of the row
        and not state["OOMKilled"],
    )


async def _send_headers(connection: Connection) -> tuple[Answer, float]:
    """Send until the connection closes; the megabytes include those in buffers on the way."""
    sent = 0
    reading = asyncio.create_task(connection.answer())
    with suppress(OSError):
        await connection.send(_HEAD)
        while sent < _HEAD_MB * 1_000_000 and not reading.done():
            await connection.send(b"a: b\r\n" * 10_000)
            sent += 60_000
            await asyncio.sleep(0.001)
    return await asyncio.wait_for(reading, 30), sent / 1e6


async def slow_clients(engine: Engine) -> AsyncIterator[Row]:
    """E3: a byte a second, nothing at all, and thousands of idle connections."""
    async with engine.service() as service:
        # One after the other: a new connection takes the place of one without a complete request.
        yield await _crowd(service)
        for row in await asyncio.gather(*(_drip(service, part) for part in _DRIPS)):
            yield row


async def _drip(service: Service, part: str) -> Row:
    opening, piece = _DRIPS[part]
    started = time.perf_counter()
    async with service.http.connected() as connection, asyncio.timeout(60):
        await connection.send(opening)
        dripping = asyncio.create_task(connection.drip(piece, every_s=1))
        answer = await connection.answer()
        dripping.cancel()
    took_s = time.perf_counter() - started
    limit_s = _MAX_DRIP_S[part]
    expected = 0 if part == "nothing" else 408
    return Row(
        "a connection without a byte" if part == "nothing" else f"a byte of a {part} a second",
        f"{'closed' if expected == 0 else '408'} after {limit_s:g} s",
        f"{answer.status or 'closed'} after {took_s:.1f} s",
        answer.status == expected and 0.9 * limit_s < took_s < limit_s + _SPARE_S,
    )


async def _crowd(service: Service) -> Row:
    opened = 0
    _allow_files(_IDLE + 200)
    async with AsyncExitStack() as stack:
        for _ in range(_IDLE):
            connection = await stack.enter_async_context(service.http.connected())
            with suppress(OSError):
                await connection.send(_HEAD[:10])
                opened += 1
        probes = [await service.http.get("/healthz") for _ in range(20)]
        chat = await service.http.chat()
    slowest_s = max(probe.duration_s for probe in probes)
    statuses = {answer.status for answer in [*probes, chat]}
    return Row(
        f"{opened:,} connections of one address that stay idle",
        "probes and a question answered in < 1 s",
        f"{sorted(statuses)}, the slowest probe {ms(slowest_s)}",
        statuses == {200} and slowest_s < 1 and chat.duration_s < 1,
    )


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        allowed = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


async def own_answers(engine: Engine) -> AsyncIterator[Row]:
    """E10 and E13: the server's own answers are problems, and few lines in the log."""
    async with engine.service({"RETRY_MAX_ATTEMPTS": "1", "LLM_PROVIDERS": "openai"}) as service:
        before = len(await service.log())
        for _ in range(_WRONGS):
            await _answer_to(service, b"?\r\n\r\n")
        lines = len(await service.log()) - before
        yield Row(
            f"{_WRONGS} requests that are no HTTP",
            f"1 to {_MAX_LINES} lines in the log",
            f"{lines} lines",
            1 <= lines <= _MAX_LINES,
        )
        for name, (data, status) in _WRONG.items():
            answer = await _answer_to(service, data)
            yield Row(
                name,
                f"{status} as a problem with an id",
                f"{answer.status}, {answer.headers.get('content-type')}",
                answer.status == status and answer.is_problem,
            )
        yield await _long_pause(service)


async def _answer_to(service: Service, data: bytes) -> Answer:
    async with asyncio.timeout(20), service.http.connected() as connection:
        with suppress(OSError):
            await connection.send(data)
        return await connection.answer()


async def _long_pause(service: Service) -> Row:
    await service.set_faults({"status": 429, "retry_after": _YEAR_S})
    answer = await service.http.chat()
    pause = answer.headers.get("retry-after", "")
    return Row(
        "a provider's Retry-After of a year",
        f"passed on as at most {_MAX_RETRY_AFTER_S} s",
        f"{answer.status}, Retry-After {pause or 'missing'}",
        pause.isdigit() and int(pause) <= _MAX_RETRY_AFTER_S,
    )
