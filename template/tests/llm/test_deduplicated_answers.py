"""The callers of one shared answer: they come, leave and fail independently of each other."""

import asyncio
import traceback
from contextvars import ContextVar

import pytest
from pydantic import TypeAdapter, ValidationError

from app.errors import ProviderUnavailableError
from app.llm.guards.deduplicated import Deduplicated
from app.llm.types import ChatRequest, LLMResponse
from app.testing import FakeChatModel
from tests.llm.samples import REQUEST

caller: ContextVar[str] = ContextVar("caller", default="none")


class Upstream:
    """Calls that answer, or fail, when they `may_end`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.shared = Deduplicated()
        self.may_end = asyncio.Event()
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.contexts: list[str] = []
        self.open = 0
        self._error = error

    @property
    def calls(self) -> int:
        return len(self.contexts)

    async def call(self, request: ChatRequest) -> LLMResponse:
        self.contexts.append(caller.get())
        self.open += 1
        try:
            await self.may_end.wait()
            if self._error is not None:
                raise self._error
            return await FakeChatModel("Hello!").complete(request)
        finally:
            await self.may_close.wait()
            self.open -= 1

    async def asked(self) -> asyncio.Task[LLMResponse]:
        task = asyncio.create_task(self.shared.complete(REQUEST, self.call))
        await turns()
        return task


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def leaves(task: asyncio.Task[LLMResponse]) -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("leaver", [0, 1], ids=["the first", "the second"])
async def test_a_cancelled_caller_does_not_disturb_the_others(leaver: int) -> None:
    upstream = Upstream()
    callers = [await upstream.asked(), await upstream.asked()]
    await leaves(callers.pop(leaver))
    upstream.may_end.set()
    assert (await callers[0]).content == "Hello!"
    assert upstream.calls == 1


async def test_the_call_is_cancelled_with_its_last_caller() -> None:
    upstream = Upstream()
    callers = [await upstream.asked(), await upstream.asked()]
    await leaves(callers[0])
    assert upstream.open == 1
    await leaves(callers[1])
    assert upstream.open == 0


async def test_a_caller_during_the_end_of_an_abandoned_call_starts_a_new_one() -> None:
    upstream = Upstream()
    upstream.may_close.clear()
    first = await upstream.asked()
    first.cancel()
    second = await upstream.asked()
    assert upstream.calls == 2
    upstream.may_close.set()
    await asyncio.wait([first])
    third = await upstream.asked()
    upstream.may_end.set()
    assert [(await each).cached for each in (second, third)] == [False, True]
    assert upstream.calls == 2


async def test_a_finished_call_is_forgotten() -> None:
    upstream = Upstream()
    upstream.may_end.set()
    answers = [await (await upstream.asked()) for _ in range(2)]
    assert [answer.cached for answer in answers] == [False, False]
    assert upstream.calls == 2


async def test_a_caller_that_tries_again_at_once_starts_a_new_call() -> None:
    upstream = Upstream(ProviderUnavailableError("down"))

    async def ask_twice() -> None:
        for _ in range(2):
            with pytest.raises(ProviderUnavailableError):
                await upstream.shared.complete(REQUEST, upstream.call)

    callers = [asyncio.create_task(ask_twice()) for _ in range(3)]
    await turns()
    assert upstream.calls == 1
    upstream.may_end.set()
    await asyncio.gather(*callers)
    assert upstream.calls == 2


async def test_each_caller_has_a_traceback_of_its_own_that_leads_to_the_cause() -> None:
    upstream = Upstream(ProviderUnavailableError("down"))
    callers = [await upstream.asked() for _ in range(50)]
    upstream.may_end.set()
    errors = await asyncio.gather(*callers, return_exceptions=True)
    frames = [
        [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        for error in errors
        if isinstance(error, ProviderUnavailableError)
    ]
    assert len({id(error) for error in errors}) == 50
    assert frames == [frames[0]] * 50
    assert frames[0][-1] == "call"


async def test_an_error_that_cannot_be_made_again_is_raised_itself() -> None:
    with pytest.raises(ValidationError) as made:
        TypeAdapter(int).validate_python("many")
    upstream = Upstream(made.value)
    upstream.may_end.set()
    with pytest.raises(ValidationError):
        await upstream.shared.complete(REQUEST, upstream.call)


async def test_the_call_runs_in_the_context_of_the_first() -> None:
    upstream = Upstream()
    for name in ["first", "second"]:
        caller.set(name)
        await upstream.asked()
    assert upstream.contexts == ["first"]


async def test_a_caller_that_leaves_as_the_call_fails_leaves_no_unread_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream = Upstream(ProviderUnavailableError("down"))
    only = await upstream.asked()
    upstream.may_end.set()
    await asyncio.sleep(0)  # the call has failed, and its caller has not run since
    await leaves(only)
    del only
    assert "never retrieved" not in caplog.text
