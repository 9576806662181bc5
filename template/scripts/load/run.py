"""Sends requests at times that are fixed before, and measures the answers."""

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import aiohttp
import orjson

_GIVE_UP_S = 60.0
_LEAD_S = 0.2  # until the first request, so that its time is not in the past


@dataclass(frozen=True, slots=True)
class Target:
    """A server that speaks OpenAI's language at this address."""

    name: str
    base_url: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second to each target, for so many seconds. The seed chooses their times."""

    rate: float
    seconds: float
    seed: int = 1

    def times(self, target: str) -> Iterator[float]:
        """The seconds at which requests are sent: independent of each other, as those of users."""
        gaps = random.Random(f"{self.seed} {target}")  # noqa: S311 - the same times in each run
        at = gaps.expovariate(self.rate)
        while at < self.seconds:
            yield at
            at += gaps.expovariate(self.rate)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. All times are in seconds, from the moment at which it should have been sent.

    `outcome` is `answered`, a status, or the name of an error. Without text, `first_text_s` is `None`.
    """

    target: str
    at_s: float
    late_s: float
    outcome: str
    first_text_s: float | None
    whole_s: float

    @property
    def is_answered(self) -> bool:
        return self.outcome == "answered"


async def run(targets: Sequence[Target], load: Load) -> list[Sample]:
    """The samples of all targets, in the order of their times."""
    # All targets are measured alike: each request has a connection at once, without a proxy.
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=_GIVE_UP_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        # The port accepts connections before the service is ready, and the first request fills caches.
        for target in targets:
            await _request(session, target, time.perf_counter(), 0)
        start = time.perf_counter() + _LEAD_S
        requests = [
            _request(session, target, start, at)
            for target in targets
            for at in load.times(target.name)
        ]
        samples = await asyncio.gather(*requests)
    return sorted(samples, key=lambda sample: sample.at_s)


async def _request(
    session: aiohttp.ClientSession, target: Target, start: float, at: float
) -> Sample:
    await asyncio.sleep(start + at - time.perf_counter())
    due = start + at
    late = time.perf_counter() - due
    first: float | None = None
    outcome = "answered"
    try:
        async with session.post(
            f"{target.base_url}/chat/completions", data=_body(at), headers=_headers(target)
        ) as answer:
            if answer.status != 200:  # noqa: PLR2004 - all others are refusals
                outcome = str(answer.status)
            async for line in answer.content:
                if first is None and _has_text(line):
                    first = time.perf_counter() - due
    except (aiohttp.ClientError, TimeoutError) as error:
        outcome = type(error).__name__
    if outcome == "answered" and first is None:
        outcome = "no text"
    return Sample(target.name, at, late, outcome, first, time.perf_counter() - due)


def _body(at: float) -> bytes:
    # Each question is another one, or the cache would answer.
    question = {"role": "user", "content": f"What happens {at:.9f} s after the start?"}
    return orjson.dumps({"model": "gpt-5-mini", "messages": [question], "stream": True})


def _headers(target: Target) -> dict[str, str]:
    key = {} if target.key is None else {"Authorization": f"Bearer {target.key}"}
    return {"Content-Type": "application/json", **key}


def _has_text(line: bytes) -> bool:
    data = line.removeprefix(b"data:").strip()
    if not data.startswith(b"{"):
        return False
    choices = orjson.loads(data).get("choices")
    return bool(choices and choices[0].get("delta", {}).get("content"))
