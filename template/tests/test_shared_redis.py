import asyncio

from redis.exceptions import ConnectionError as NobodyThere

from app.shared_redis import Outages
from app.testing import FakeClock


async def test_an_answer_to_what_was_asked_before_a_failure_does_not_end_the_outage() -> None:
    clock, news, answers = FakeClock(), list[str](), asyncio.Event()
    outages = Outages(
        began=lambda _: news.append("began"),
        ended=lambda: news.append("ended"),
        clock=clock.monotonic,
    )

    async def slow() -> str:
        await answers.wait()
        return "answer"

    async def failing() -> str:
        raise NobodyThere

    asked_before = asyncio.create_task(outages.survived(slow, otherwise="none"))
    await asyncio.sleep(0)
    clock.now += 0.1
    assert await outages.survived(failing, otherwise="none") == "none"
    answers.set()
    assert await asked_before == "answer"
    assert await outages.survived(slow, otherwise="left alone") == "left alone"
    assert news == ["began"]
    clock.now += 2
    assert await outages.survived(slow, otherwise="left alone") == "answer"
    assert news == ["began", "ended"]
