import asyncio

import pytest

from app.resilience.concurrency import gather_bounded


class RefusedError(Exception):
    pass


class Gauge:
    """A call that takes a few turns of the loop, and counts its running copies."""

    def __init__(self) -> None:
        self.running = 0
        self.highest = 0
        self.most_tasks = 0
        self.called: list[int] = []

    async def __call__(self, item: int) -> int:
        self.called.append(item)
        self.running += 1
        self.highest = max(self.highest, self.running)
        self.most_tasks = max(self.most_tasks, len(asyncio.all_tasks()))
        try:
            for _ in range(item % 3 + 1):
                await asyncio.sleep(0)
        finally:
            self.running -= 1
        return item * 10


async def test_each_result_is_where_its_item_was() -> None:
    assert await gather_bounded(range(50), Gauge(), limit=7, catch=RefusedError) == [
        n * 10 for n in range(50)
    ]


@pytest.mark.slow
async def test_ten_thousand_items_never_exceed_the_bound() -> None:
    gauge = Gauge()
    tasks_before = len(asyncio.all_tasks())
    results = await gather_bounded(range(10_000), gauge, limit=8, catch=RefusedError)
    assert len(results) == 10_000
    assert gauge.highest == 8
    assert gauge.most_tasks == tasks_before + 8


async def test_one_error_is_one_result() -> None:
    error = RefusedError("no")

    async def call(item: int) -> str:
        await asyncio.sleep(0)
        if item == 2:
            raise error
        return f"item {item}"

    results = await gather_bounded([1, 2, 3], call, limit=2, catch=RefusedError)
    assert results == ["item 1", error, "item 3"]


async def test_an_unexpected_error_ends_the_others_and_comes_out() -> None:
    ended: list[int] = []

    async def call(item: int) -> None:
        if item == 3:
            raise KeyError(item)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # closing takes a moment, and is awaited
            ended.append(item)

    with pytest.raises(KeyError):
        await gather_bounded([1, 2, 3, 4], call, limit=3, catch=RefusedError)
    assert sorted(ended) == [1, 2]


async def test_cancelling_cancels_and_awaits_every_call() -> None:
    gauge = Gauge()
    running = asyncio.create_task(gather_bounded(range(1000), gauge, limit=5, catch=RefusedError))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert gauge.highest == 5
    assert gauge.running == 0
    assert len(gauge.called) < 1000


async def test_a_few_items_need_only_as_many_tasks() -> None:
    gauge = Gauge()
    tasks_before = len(asyncio.all_tasks())
    await gather_bounded([1, 2, 3], gauge, limit=1000, catch=RefusedError)
    assert gauge.most_tasks == tasks_before + 3


async def test_a_limit_of_one_is_one_after_the_other() -> None:
    gauge = Gauge()
    assert await gather_bounded([1, 2, 3], gauge, limit=1, catch=RefusedError) == [10, 20, 30]
    assert gauge.highest == 1


async def test_nothing_to_do_is_done_at_once() -> None:
    assert await gather_bounded([], Gauge(), limit=3, catch=RefusedError) == []


async def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the limit of concurrent calls must be at least 1$"):
        await gather_bounded([1], Gauge(), limit=0, catch=RefusedError)
