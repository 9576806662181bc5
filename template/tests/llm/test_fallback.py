from dataclasses import replace

import pytest

from app.errors import (
    AuthenticationFailed,
    LLMError,
    MalformedAnswer,
    ModelNotFound,
    NothingCanAnswer,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    StreamInterrupted,
    TimedOut,
    UnknownProvider,
)
from app.llm.types import TextDelta
from app.llm.wrappers.fallback import Fallback
from app.testing import CapturedMetrics, FakeChatModel, captured_logs
from tests.llm.samples import REQUEST

BUSY = ProviderUnavailable("one is busy", provider="one", status=503)


def two(first: str | LLMError, second: str | LLMError) -> tuple[FakeChatModel, FakeChatModel]:
    return FakeChatModel(first, name="one"), FakeChatModel(second, name="two")


async def test_the_first_answers_while_it_can() -> None:
    one, other = two("from one", "from two")
    assert (await Fallback([one, other]).complete(REQUEST)).content == "from one"
    assert other.requests == []


@pytest.mark.parametrize(
    "error",
    [
        BUSY,
        TimedOut("late"),
        RateLimited("slow down"),
        QuotaExhausted("spent"),
        AuthenticationFailed("no key"),
        ModelNotFound("no model"),
        MalformedAnswer("?"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_the_second_answers_when_the_first_cannot(error: LLMError) -> None:
    response = await Fallback(two(error, "from two")).complete(REQUEST)
    assert response.content == "from two"


async def test_a_fallback_is_logged() -> None:
    with captured_logs() as logs:
        await Fallback(two(BUSY, "from two")).complete(REQUEST)
    (line,) = logs.events("llm.fallback")
    assert (line["provider"], line["error"], line["status"]) == ("one", "ProviderUnavailable", 503)


@pytest.mark.parametrize("names", [["one"], ["one", "two"]], ids=["an only one", "the last one"])
async def test_who_has_nobody_behind_it_is_not_given_up_for_anybody(names: list[str]) -> None:
    metrics = CapturedMetrics()
    chain = Fallback([FakeChatModel(BUSY, name=name) for name in names], meter=metrics)
    with captured_logs() as logs, pytest.raises(LLMError):
        await chain.complete(REQUEST)
    assert [line["provider"] for line in logs.events("llm.fallback")] == names[:-1]
    assert metrics.value("llm_fallbacks_total") == len(names) - 1


async def test_a_refused_request_is_the_callers_matter() -> None:
    one, other = two(RequestRefused("too long"), "from two")
    with pytest.raises(RequestRefused):
        await Fallback([one, other]).complete(REQUEST)
    assert other.requests == []


async def test_a_refusal_by_the_fallback_does_not_hide_the_outage() -> None:
    with pytest.raises(NothingCanAnswer) as raised:
        await Fallback(two(BUSY, RequestRefused("too long for two"))).complete(REQUEST)
    assert [type(cause) for cause in raised.value.causes] == [ProviderUnavailable, RequestRefused]


async def test_when_nobody_can_answer_all_reasons_are_told() -> None:
    chain = two(BUSY, RateLimited("two wants a pause", retry_after_s=9))
    with pytest.raises(NothingCanAnswer, match="one is busy; two wants a pause") as raised:
        await Fallback(chain).complete(REQUEST)
    assert raised.value.retry_after_s == 9


async def test_when_all_are_late_it_is_a_timeout() -> None:
    with pytest.raises(TimedOut, match="one"):
        await Fallback(two(TimedOut("one is late"), TimedOut("two is late"))).complete(REQUEST)


async def test_the_error_of_an_only_model_is_its_own() -> None:
    with pytest.raises(ProviderUnavailable):
        await Fallback([FakeChatModel(BUSY)]).complete(REQUEST)


async def test_a_request_can_choose_its_provider() -> None:
    one, other = two("from one", "from two")
    response = await Fallback([one, other]).complete(replace(REQUEST, provider="two"))
    assert response.content == "from two"
    assert one.requests == []


async def test_a_chosen_provider_is_not_replaced() -> None:
    with pytest.raises(ProviderUnavailable):
        await Fallback(two(BUSY, "from two")).complete(replace(REQUEST, provider="one"))


async def test_an_unknown_provider_is_told_which_there_are() -> None:
    with pytest.raises(UnknownProvider, match="these are: one, two"):
        await Fallback(two("", "")).complete(replace(REQUEST, provider="three"))


async def test_a_models_name_is_for_the_first_provider_only() -> None:
    one, other = two(BUSY, "from two")
    await Fallback([one, other]).complete(replace(REQUEST, model="one-large"))
    assert (one.requests[0].model, other.requests[0].model) == ("one-large", None)


async def test_a_stream_that_has_not_begun_falls_back() -> None:
    events = [event async for event in Fallback(two(BUSY, "from two")).stream(REQUEST)]
    assert events[0] == TextDelta("from two")


async def test_a_stream_that_has_begun_does_not() -> None:
    one = FakeChatModel(["fr", StreamInterrupted("cut", text="fr")], name="one")
    stream = Fallback([one, FakeChatModel(name="two")]).stream(REQUEST)
    assert await anext(stream) == TextDelta("fr")
    with pytest.raises(StreamInterrupted):
        await anext(stream)


async def test_closing_closes_the_stream_below() -> None:
    model = FakeChatModel(["a", "b"])
    stream = Fallback([model]).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert model.open_streams == 0
