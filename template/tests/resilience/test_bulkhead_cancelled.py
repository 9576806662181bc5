"""Calls that are cancelled while they wait lose no place of the bulkhead."""

import asyncio

import pytest

from app.resilience.bulkhead import Bulkhead, QueuePolicy
from tests.resilience import virtual_time


@pytest.mark.parametrize("turns", range(6))
def test_a_call_cancelled_at_any_moment_of_its_wait_loses_no_place(turns: int) -> None:
    async def scenario() -> None:
        bulkhead = Bulkhead(1)
        await bulkhead.take("first")
        waiter = asyncio.create_task(bulkhead.take("second"))
        for turn in range(turns):
            if turn == 2:
                bulkhead.release("first")
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        if turns < 3:
            bulkhead.release("first")
        if not waiter.cancelled():
            bulkhead.release("second")
        assert bulkhead.waiting == 0
        await asyncio.wait_for(bulkhead.take("third"), 1)
        bulkhead.release("third")

    virtual_time.run(scenario())


def test_a_call_cancelled_in_the_turn_of_its_place_gives_it_to_the_next() -> None:
    async def scenario() -> float:
        bulkhead = Bulkhead(1, QueuePolicy(length=2))
        await bulkhead.take()
        second = asyncio.create_task(bulkhead.take())
        third = asyncio.create_task(bulkhead.take())
        await asyncio.sleep(0)
        bulkhead.release()  # to the second, which is cancelled before it runs
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        return await third

    assert virtual_time.run(scenario()) == 0.0


def test_a_call_displaced_and_cancelled_in_one_turn_is_cancelled() -> None:
    async def scenario() -> bool:
        bulkhead = Bulkhead(1, QueuePolicy(length=1))
        await bulkhead.take("greedy")
        displaced = asyncio.create_task(bulkhead.take("greedy"))
        await asyncio.sleep(0)
        modest = asyncio.create_task(bulkhead.take("modest"))
        displaced.cancel()
        await asyncio.gather(displaced, return_exceptions=True)
        bulkhead.release("greedy")
        await modest
        return displaced.cancelled()

    assert virtual_time.run(scenario())
