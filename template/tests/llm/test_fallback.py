from dataclasses import replace

import pytest

from app.errors import (
    AuthenticationError,
    LimitReachedError,
    LLMError,
    MalformedAnswerError,
    ModelNotFoundError,
    NothingCanAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    StreamInterruptedError,
    UnknownModelError,
    UnknownProviderError,
    UnsupportedRequestError,
)
from app.llm.fallback import Fallback
from app.llm.types import ChatRequest, TextDelta
from app.testing import CapturedMetrics, FakeChatModel, captured_logs
from tests.llm.samples import REQUEST

BUSY = ProviderUnavailableError("one is busy", provider="one", status=503)


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
        ProviderTimeoutError("late"),
        RateLimitError("slow down"),
        QuotaExhaustedError("spent"),
        AuthenticationError("no key"),
        ModelNotFoundError("no model"),
        MalformedAnswerError("?"),
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
    assert (line["provider"], line["error"], line["status"]) == (
        "one",
        "ProviderUnavailableError",
        503,
    )


@pytest.mark.parametrize("names", [["one"], ["one", "two"]], ids=["an only one", "the last one"])
async def test_an_error_of_the_last_provider_is_no_fallback(names: list[str]) -> None:
    metrics = CapturedMetrics()
    chain = Fallback([FakeChatModel(BUSY, name=name) for name in names], metrics=metrics)
    with captured_logs() as logs, pytest.raises(LLMError):
        await chain.complete(REQUEST)
    assert [line["provider"] for line in logs.events("llm.fallback")] == names[:-1]
    assert metrics.value("llm_fallbacks_total") == len(names) - 1


async def test_a_refused_request_is_the_callers_matter() -> None:
    one, other = two(RequestRefusedError("too long"), "from two")
    with pytest.raises(RequestRefusedError):
        await Fallback([one, other]).complete(REQUEST)
    assert other.requests == []


HOT = UnsupportedRequestError("one accepts a temperature from 0 to 1, not 1.5", provider="one")


@pytest.mark.parametrize("order", ["one,two", "two,one"])
async def test_a_provider_that_does_not_support_the_request_is_passed_over(order: str) -> None:
    metrics = CapturedMetrics()
    models = {m.name: m for m in two(HOT, "from two")}
    chain = Fallback([models[name] for name in order.split(",")], metrics=metrics)
    assert (await chain.complete(REQUEST)).content == "from two"
    assert metrics.value("llm_fallbacks_total") in {None, 0}


async def test_a_request_that_no_provider_supports_is_the_callers() -> None:
    with pytest.raises(UnsupportedRequestError, match="one accepts"):
        await Fallback(two(HOT, HOT)).complete(REQUEST)


async def test_the_model_of_an_unsupported_request_is_not_swapped_for_another() -> None:
    one, other = two(HOT, "from two")
    with pytest.raises(UnsupportedRequestError):
        await Fallback([one, other]).complete(replace(REQUEST, model="one-large"))
    assert other.requests == []


async def test_an_unsupported_request_does_not_hide_an_outage() -> None:
    with pytest.raises(ProviderUnavailableError, match="one is busy"):
        await Fallback(two(HOT, BUSY)).complete(REQUEST)


async def test_a_refusal_by_the_fallback_does_not_hide_the_outage() -> None:
    with pytest.raises(NothingCanAnswerError) as raised:
        await Fallback(two(BUSY, RequestRefusedError("too long for two"))).complete(REQUEST)
    assert [type(cause) for cause in raised.value.causes] == [
        ProviderUnavailableError,
        RequestRefusedError,
    ]


async def test_if_no_provider_can_answer_the_error_has_all_reasons() -> None:
    chain = two(BUSY, RateLimitError("two wants a pause", retry_after_s=9))
    with pytest.raises(NothingCanAnswerError, match="one is busy; two wants a pause") as raised:
        await Fallback(chain).complete(REQUEST)
    assert raised.value.retry_after_s == 9


async def test_when_all_are_late_it_is_a_timeout() -> None:
    with pytest.raises(ProviderTimeoutError, match="one"):
        await Fallback(
            two(ProviderTimeoutError("one is late"), ProviderTimeoutError("two is late"))
        ).complete(REQUEST)


async def test_the_error_of_an_only_model_is_its_own() -> None:
    with pytest.raises(ProviderUnavailableError):
        await Fallback([FakeChatModel(BUSY)]).complete(REQUEST)


async def test_a_request_can_choose_its_provider() -> None:
    one, other = two("from one", "from two")
    response = await Fallback([one, other]).complete(replace(REQUEST, provider="two"))
    assert response.content == "from two"
    assert one.requests == []


async def test_a_chosen_provider_is_not_replaced() -> None:
    with pytest.raises(ProviderUnavailableError):
        await Fallback(two(BUSY, "from two")).complete(replace(REQUEST, provider="one"))


async def test_an_unknown_provider_is_told_which_there_are() -> None:
    with pytest.raises(UnknownProviderError, match="these are: one, two"):
        await Fallback(two("", "")).complete(replace(REQUEST, provider="three"))


async def test_a_models_name_is_for_the_first_provider_only() -> None:
    one, other = two(BUSY, "from two")
    await Fallback([one, other]).complete(replace(REQUEST, model="one-large"))
    assert (one.requests[0].model, other.requests[0].model) == ("one-large", None)


async def test_a_stream_that_has_not_begun_falls_back() -> None:
    events = [event async for event in Fallback(two(BUSY, "from two")).stream(REQUEST)]
    assert events[0] == TextDelta("from two")


async def test_a_stream_that_has_begun_does_not() -> None:
    one = FakeChatModel(["fr", StreamInterruptedError("cut", text="fr")], name="one")
    stream = Fallback([one, FakeChatModel(name="two")]).stream(REQUEST)
    assert await anext(stream) == TextDelta("fr")
    with pytest.raises(StreamInterruptedError):
        await anext(stream)


async def test_closing_closes_the_stream_below() -> None:
    model = FakeChatModel(["a", "b"])
    stream = Fallback([model]).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert model.open_streams == 0


NO_MODEL = ModelNotFoundError("one answered 404", provider="one", status=404)


@pytest.mark.parametrize("provider", [None, "one"], ids=["no provider named", "with its provider"])
async def test_a_model_that_the_caller_named_is_not_replaced(provider: str | None) -> None:
    one, other = two(NO_MODEL, "from two")
    request = replace(REQUEST, model="gpt-5-minii", provider=provider)
    for call in (Fallback([one, other]).complete(request), drained(one, other, request)):
        with pytest.raises(
            UnknownModelError, match="one does not have the model gpt-5-minii"
        ) as raised:
            await call
        assert (raised.value.provider, raised.value.status) == ("one", 404)
    assert other.requests == []


async def drained(one: FakeChatModel, other: FakeChatModel, request: ChatRequest) -> None:
    async for _ in Fallback([one, other]).stream(request):
        pass


async def test_a_model_of_the_settings_that_is_not_found_is_a_mistake_of_ours() -> None:
    with pytest.raises(ModelNotFoundError) as raised:
        await Fallback([FakeChatModel(NO_MODEL, name="one")]).complete(REQUEST)
    assert not isinstance(raised.value, UnknownModelError)


async def test_the_fallbacks_own_model_that_is_not_found_is_not_the_callers_mistake() -> None:
    with pytest.raises(NothingCanAnswerError):
        await Fallback(two(BUSY, NO_MODEL)).complete(replace(REQUEST, model="one-large"))


async def test_our_own_limit_ends_the_chain() -> None:
    chain = [FakeChatModel(turn, name=turn.__class__.__name__) for turn in (BUSY, LIMIT, "three")]
    with pytest.raises(LimitReachedError) as raised:
        await Fallback(chain).complete(REQUEST)
    assert raised.value.retry_after_s == 4
    assert chain[2].requests == []


LIMIT = LimitReachedError("two is at our limit", retry_after_s=4)
