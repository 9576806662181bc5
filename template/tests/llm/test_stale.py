"""While all providers fail, an old cached answer is given, and marked as stale."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.cache import MemoryCache
from app.errors import (
    CircuitOpenError,
    LimitReachedError,
    LLMError,
    NothingCanAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    RequestRefusedError,
    UnknownProviderError,
)
from app.llm.fallback import Fallback
from app.llm.guards.cached import Cached, CachePolicy
from app.llm.guards.guard import stacked
from app.llm.stale_answers import StaleAnswers
from app.llm.types import ChatRequest, Done, LLMResponse, TextDelta
from app.testing import FakeChatModel, FakeClock, captured_logs
from tests.llm.samples import REQUEST

BUSY = ProviderUnavailableError("busy", status=503)
LATE = ProviderTimeoutError("late")
DEFAULT = CachePolicy()
Turns = Sequence[str | LLMError]


class Chain:
    """Two providers with caches in front of them, at a time that a test sets."""

    def __init__(self, one: Turns, two: Turns, policy: CachePolicy = DEFAULT) -> None:
        self.clock = FakeClock()
        self.one = FakeChatModel(*one, name="one")
        self.two = FakeChatModel(*two, name="two")
        cache = MemoryCache(clock=self.clock.monotonic)
        guards = [Cached(cache, policy, clock=self.clock.monotonic) for _ in "12"]
        models = [
            stacked(model, [guard])
            for model, guard in zip((self.one, self.two), guards, strict=True)
        ]
        self.model = Fallback(models, [StaleAnswers(guard) for guard in guards])

    async def ask(self, request: ChatRequest = REQUEST) -> LLMResponse:
        return await self.model.complete(request)

    async def ask_later(self, request: ChatRequest = REQUEST) -> LLMResponse:
        """After the first answer is no longer fresh, and before it is forgotten."""
        self.clock.now += 2 * 3600
        return await self.ask(request)


async def test_an_old_answer_is_given_when_all_providers_fail() -> None:
    chain = Chain(["said before", BUSY], [LATE])
    first = await chain.ask()
    assert await chain.ask_later() == first.model_copy(
        update={"cached": True, "stale": True, "cost_usd": 0.0}
    )


async def test_a_new_answer_is_preferred_to_an_old_one() -> None:
    chain = Chain(["said before", BUSY], ["new"])
    await chain.ask()
    later = await chain.ask_later()
    assert (later.content, later.cached, later.stale) == ("new", False, False)


async def test_a_fresh_answer_is_not_stale() -> None:
    chain = Chain(["said before", BUSY], [LATE])
    await chain.ask()
    again = await chain.ask()
    assert (again.cached, again.stale) == (True, False)


async def test_the_second_providers_old_answer_is_better_than_none() -> None:
    chain = Chain([BUSY], ["from two", LATE])
    await chain.ask()
    assert (await chain.ask_later()).provider == "two"


async def test_the_first_providers_old_answer_comes_first() -> None:
    chain = Chain(["from one", BUSY], ["from two", LATE])
    await chain.ask()
    await chain.ask_later()
    assert (await chain.ask_later()).provider == "one"


async def test_a_stream_is_replayed() -> None:
    chain = Chain(["said before", BUSY], [LATE])
    first = await chain.ask()
    chain.clock.now += 2 * 3600
    events = [event async for event in chain.model.stream(REQUEST)]
    stale = first.model_copy(update={"cached": True, "stale": True, "cost_usd": 0.0})
    assert events == [TextDelta("said before"), Done(stale)]


async def test_a_stale_answer_is_logged_with_its_age() -> None:
    chain = Chain(["said before", BUSY], [LATE])
    await chain.ask()
    with captured_logs() as logs:
        await chain.ask_later()
    (line,) = logs.events("llm.stale")
    assert (line["level"], line["provider"], line["age_s"]) == ("warning", "one", 7200)


async def test_an_answer_is_forgotten_in_the_end() -> None:
    chain = Chain(["said before", BUSY], [LATE])
    await chain.ask()
    chain.clock.now += 24 * 3600
    with pytest.raises(NothingCanAnswerError):
        await chain.ask()


async def test_stale_answers_can_be_switched_off() -> None:
    chain = Chain(["said before", BUSY], [LATE], CachePolicy(ttl_s=3600, stale_ttl_s=0))
    await chain.ask()
    with pytest.raises(NothingCanAnswerError):
        await chain.ask_later()


async def test_a_question_that_was_never_answered_has_no_old_answer() -> None:
    chain = Chain(["said before", BUSY], [LATE])
    await chain.ask()
    with pytest.raises(NothingCanAnswerError):
        await chain.ask_later(replace(REQUEST, temperature=0.6))


async def test_a_chosen_provider_is_not_replaced_by_anothers_old_answer() -> None:
    chain = Chain(["from one", BUSY], [LATE])
    await chain.ask()
    with pytest.raises(ProviderTimeoutError):
        await chain.ask_later(replace(REQUEST, provider="two"))
    assert (await chain.ask_later(replace(REQUEST, provider="one"))).stale


async def test_a_models_name_is_for_the_first_provider_only() -> None:
    chain = Chain([BUSY], ["from two", LATE])
    await chain.ask(replace(REQUEST, model="one-large"))
    assert (await chain.ask_later(replace(REQUEST, model="one-large"))).provider == "two"


@pytest.mark.parametrize(
    "error",
    [RequestRefusedError("too long"), LimitReachedError("enough")],
    ids=["refused", "own limit"],
)
async def test_what_is_no_outage_is_not_covered_up(error: LLMError) -> None:
    chain = Chain(["said before", error], ["from two"])
    await chain.ask()
    with pytest.raises(type(error)):
        await chain.ask_later()


async def test_an_unknown_provider_stays_unknown() -> None:
    chain = Chain(["said before"], [])
    await chain.ask()
    with pytest.raises(UnknownProviderError):
        await chain.ask_later(replace(REQUEST, provider="three"))


@pytest.mark.parametrize(
    ("causes", "wait_s"),
    [
        ([BUSY, LATE], 30),
        ([BUSY, RateLimitError("slow down", retry_after_s=9)], 9),
        (
            [CircuitOpenError("left alone", retry_after_s=7), RateLimitError("x", retry_after_s=9)],
            7,
        ),
        ([CircuitOpenError("left alone", retry_after_s=0.4), LATE], 0.4),
    ],
    ids=["no one says", "one says", "both say", "a moment"],
)
async def test_otherwise_it_is_said_when_to_try_again(
    causes: list[LLMError], wait_s: float
) -> None:
    with pytest.raises(NothingCanAnswerError, match=r"Try again in \d+ seconds") as raised:
        await Chain(causes[:1], causes[1:]).ask()
    assert raised.value.retry_after_s == wait_s


async def test_an_old_answer_is_better_than_our_own_limit_in_an_outage() -> None:
    chain = Chain(["said before", BUSY], [LimitReachedError("enough", retry_after_s=4)])
    await chain.ask()
    later = await chain.ask_later()
    assert (later.content, later.stale) == ("said before", True)


async def test_a_fresh_request_gets_no_old_answer() -> None:
    chain = Chain(["said before", BUSY], [LATE])
    await chain.ask()
    with pytest.raises(NothingCanAnswerError):
        await chain.ask_later(replace(REQUEST, fresh=True))
