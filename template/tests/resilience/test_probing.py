"""In simulated time: a minute of probes takes no minute."""

import asyncio
from collections.abc import Coroutine
from itertools import pairwise

import pytest

from app.resilience.health import Health, ProbeTarget, probing
from tests.resilience.virtual_time import now, run

INTERVAL_S = 30


class AwayError(Exception):
    pass


class Bench:
    def __init__(self) -> None:
        self.began = 0.0
        self.pings: list[float] = []
        self.running = 0
        self.error: Exception | None = None
        self.hangs = False
        self.reports: list[tuple[str, Exception]] = []
        self.health = Health(lambda: "closed", clock=now)

    async def ping(self) -> None:
        self.pings.append(now())
        self.running += 1
        try:
            await asyncio.sleep(10_000 if self.hangs else 0)
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error

    def run(self, during: Coroutine[None, None, None], interval_s: float = INTERVAL_S) -> None:
        async def probed() -> None:
            self.began = now()
            targets = {"one": ProbeTarget(self.health, self.ping)}
            async with probing(targets, interval_s, report=self._report):
                await during
            assert len(asyncio.all_tasks()) == 1

        run(probed())

    def _report(self, name: str, error: Exception) -> None:
        self.reports.append((name, error))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_idle_provider_is_probed_regularly(bench: Bench) -> None:
    bench.run(asyncio.sleep(305))
    times = [bench.began, *bench.pings]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert 9 <= len(gaps) <= 11
    assert all(27 <= gap <= 33 for gap in gaps)
    assert len({round(gap, 6) for gap in gaps}) > 5


def test_a_provider_in_use_is_not_probed(bench: Bench) -> None:
    async def traffic() -> None:
        for _ in range(20):
            bench.health.calls.add(ok=True)
            await asyncio.sleep(15)
        assert bench.pings == []
        await asyncio.sleep(60)
        assert bench.pings

    bench.run(traffic())


def test_a_failed_probe_is_reported_and_the_next_one_comes(bench: Bench) -> None:
    async def outage() -> None:
        bench.error = AwayError()
        await asyncio.sleep(40)
        assert bench.health.report().probe_failed
        assert bench.reports == [("one", bench.error)]
        bench.error = None
        await asyncio.sleep(40)
        assert not bench.health.report().probe_failed

    bench.run(outage())
    assert len(bench.pings) == 2


def test_a_probe_that_hangs_ends_with_the_service(bench: Bench) -> None:
    bench.hangs = True
    bench.run(asyncio.sleep(100))
    assert (len(bench.pings), bench.running) == (1, 0)


def test_an_interval_of_zero_switches_probes_off(bench: Bench) -> None:
    bench.run(asyncio.sleep(1000), interval_s=0)
    assert bench.pings == []
