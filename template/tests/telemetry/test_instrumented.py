import asyncio
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial

import pytest

from app.errors import (
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    UnsupportedRequestError,
)
from app.llm.costs import PriceList
from app.llm.guards.guard import stacked
from app.llm.guards.instrumented import Billed, Instrumented
from app.llm.model import Model
from app.llm.types import ChatRequest, Done, EmbeddingRequest, LLMResponse, Message, TextDelta
from app.testing import CapturedLogs, CapturedMetrics, FakeChatModel, Turn, captured_logs

PRICES = PriceList.model_validate(
    {"as_of": "2026-11-25", "models": {"fake": {"fake-1": {"prompt": 1, "completion": 2}}}}
)
REQUEST = ChatRequest(messages=(Message("user", "What is confidential?"),), model="asked-1")


@pytest.fixture
def metrics() -> CapturedMetrics:
    return CapturedMetrics()


def observed(metrics: CapturedMetrics, *turns: Turn, previews: bool = False) -> Model:
    instrumented = Instrumented(metrics, models={"asked-1"}, previews=previews)
    return stacked(FakeChatModel(*turns), [instrumented, Billed(PRICES)])


def outcome(metrics: CapturedMetrics, name: str) -> float:
    labels = {"provider": "fake", "operation": "chat", "model": "asked-1", "outcome": name}
    return metrics.value("llm_requests_total", **labels)


async def test_a_call_is_timed_counted_and_logged(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    response = await observed(metrics, ["a", lambda: asyncio.sleep(0.02), "b"]).complete(REQUEST)
    (line,) = logs.events("llm.call")
    assert response.latency_ms >= 19
    assert line["latency_ms"] >= 19
    assert (line["provider"], line["model"], line["outcome"]) == ("fake", "fake-1", "ok")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (3, 5)
    assert (line["finish_reason"], line["stream"]) == ("stop", False)
    assert outcome(metrics, "ok") == 1
    assert _tokens(metrics, "completion") == 5


async def test_a_stream_is_a_call_like_any_other(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    events = [event async for event in observed(metrics, ["a", "b"]).stream(REQUEST)]
    (line,) = logs.events("llm.call")
    assert isinstance(events[-1], Done)
    assert events[-1].response.latency_ms > 0
    assert (line["stream"], line["outcome"]) == (True, "ok")
    assert 0 < line["first_text_ms"] <= line["latency_ms"]
    assert outcome(metrics, "ok") == 1


@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])
async def test_a_failure_is_counted_by_its_kind(
    metrics: CapturedMetrics, logs: CapturedLogs, *, stream: bool
) -> None:
    model = observed(metrics, RateLimitError("busy", status=429))
    with pytest.raises(RateLimitError):
        await (_drain(model) if stream else model.complete(REQUEST))
    (line,) = logs.events("llm.call")
    assert (line["level"], line["outcome"], line["error"]) == ("warning", "RateLimitError", "busy")
    assert (line["status"], line["model"]) == (429, "asked-1")
    assert outcome(metrics, "RateLimitError") == 1


async def test_an_unexpected_error_has_one_label(metrics: CapturedMetrics) -> None:
    with pytest.raises(KeyError):
        await observed(metrics, KeyError("x")).complete(REQUEST)
    assert outcome(metrics, "unexpected") == 1


async def test_a_stream_that_is_not_read_to_its_end_counts_as_cancelled(
    metrics: CapturedMetrics,
) -> None:
    async with aclosing(observed(metrics, ["a", "b"]).stream(REQUEST)) as events:
        await anext(events)
    assert outcome(metrics, "cancelled") == 1
    assert outcome(metrics, "ok") == 0


async def test_a_cancelled_call_counts_as_cancelled(metrics: CapturedMetrics) -> None:
    call = asyncio.create_task(observed(metrics, [asyncio.Event().wait]).complete(REQUEST))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert outcome(metrics, "cancelled") == 1


async def test_an_answer_from_the_cache_costs_nothing(metrics: CapturedMetrics) -> None:
    class Remembering(FakeChatModel):
        def response(self, content: str) -> LLMResponse:
            return super().response(content).model_copy(update={"cached": True})

    response = await stacked(Remembering(), [Instrumented(metrics, models={"asked-1"})]).complete(
        REQUEST
    )
    assert response.cost_usd == 0
    assert outcome(metrics, "cached") == 1
    assert _tokens(metrics, "prompt") == 0


async def test_prompts_and_answers_are_not_logged(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    await observed(metrics, "confidential").complete(REQUEST)
    assert "confidential" not in logs.text


async def test_previews_show_the_beginning(metrics: CapturedMetrics, logs: CapturedLogs) -> None:
    await observed(metrics, "x" * 100, previews=True).complete(REQUEST)
    (line,) = logs.events("llm.call")
    assert line["prompt"] == "What is confidential?"
    assert line["answer"] == "x" * 80


async def test_a_stream_that_breaks_is_counted_by_its_kind(metrics: CapturedMetrics) -> None:
    events = observed(metrics, ["a", ProviderTimeoutError("slow")]).stream(REQUEST)
    assert await anext(events) == TextDelta("a")
    with pytest.raises(ProviderTimeoutError):
        await anext(events)
    assert outcome(metrics, "ProviderTimeoutError") == 1


async def test_a_call_has_a_price(metrics: CapturedMetrics, logs: CapturedLogs) -> None:
    response = await observed(metrics, "Hello!").complete(REQUEST)
    assert response.cost_usd == 13 / 1_000_000
    assert logs.events("llm.call")[0]["cost_usd"] == 13 / 1_000_000
    cost = metrics.value("llm_cost_usd_total", provider="fake", model="asked-1")
    assert cost == 13 / 1_000_000


async def test_a_model_without_a_price_costs_null(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    response = await stacked(FakeChatModel(), [Instrumented(metrics), Billed()]).complete(REQUEST)
    assert response.cost_usd is None
    assert logs.events("llm.call")[0]["cost_usd"] is None
    assert "llm_cost_usd_total{" not in metrics.exposition()[0].decode()


async def test_a_streams_first_text_and_its_pace_are_measured(metrics: CapturedMetrics) -> None:
    pause = partial(asyncio.sleep, 0.02)
    await _drain(observed(metrics, [pause, "a", pause, "b"]))
    assert metrics.value("llm_stream_first_token_seconds_sum", provider="fake") >= 0.019
    pace = metrics.value("llm_stream_token_seconds_sum", provider="fake")
    assert pace >= 0.019 / 4  # five tokens: four of them after the first text


async def test_calls_that_run_are_counted(metrics: CapturedMetrics) -> None:
    def running() -> float:
        return metrics.value("llm_requests_in_flight", provider="fake")

    seen = []

    async def look() -> None:
        seen.append(running())

    with pytest.raises(ProviderTimeoutError):
        await _drain(observed(metrics, [look, "a", ProviderTimeoutError("slow")]))
    await observed(metrics, [look, "a"]).complete(REQUEST)
    assert seen == [1, 1]
    assert running() == 0


@pytest.mark.slow
async def test_ten_thousand_models_are_two_series(metrics: CapturedMetrics) -> None:
    model = observed(metrics, "Hello!")
    await model.complete(REQUEST)
    for number in range(10):
        await model.complete(replace(REQUEST, model=f"random-{number}"))
    before = metrics.exposition()[0].count(b"\n")
    with captured_logs("ERROR"):
        for number in range(10, 10_000):
            await model.complete(replace(REQUEST, model=f"random-{number}"))
    assert metrics.exposition()[0].count(b"\n") == before
    assert outcome(metrics, "ok") == 1
    assert "random" not in metrics.exposition()[0].decode()


async def test_an_embedding_is_a_call_like_any_other(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    model = stacked(FakeChatModel(), [Instrumented(metrics, models={"fake-1"}), Billed(PRICES)])
    await model.embed(EmbeddingRequest(("one", "two")))
    (line,) = logs.events("llm.call")
    assert (line["operation"], line["outcome"], line["texts"]) == ("embeddings", "ok", 2)
    assert (line["prompt_tokens"], line["cost_usd"]) == (2, 2 / 1_000_000)
    labels = {"provider": "fake", "operation": "embeddings", "model": "fake-1", "outcome": "ok"}
    assert metrics.value("llm_requests_total", **labels) == 1


async def test_an_embedding_is_previewed_by_its_first_text(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    model = stacked(FakeChatModel(), [Instrumented(metrics, previews=True)])
    await model.embed(EmbeddingRequest(("x" * 100, "two")))
    assert logs.events("llm.call")[0]["prompt"] == "x" * 80


async def test_an_unsupported_request_is_not_a_failure(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    with pytest.raises(UnsupportedRequestError):
        await observed(metrics, UnsupportedRequestError("no embeddings")).complete(REQUEST)
    assert logs.events("llm.call")[0]["level"] == "info"
    assert metrics.recent_llm.statistics() == {}


async def test_a_shed_call_has_no_line_of_its_own(
    metrics: CapturedMetrics, logs: CapturedLogs
) -> None:
    with pytest.raises(OverloadedError):
        await observed(metrics, OverloadedError("full")).complete(REQUEST)
    assert logs.events("llm.call") == []


async def test_the_summary_is_about_the_provider(metrics: CapturedMetrics) -> None:
    model = observed(metrics, "Hello!", RateLimitError("busy"), "Hello!")
    for _ in range(3):
        with suppress(RateLimitError):
            await model.complete(REQUEST)
    async with aclosing(model.stream(REQUEST)) as events:
        await anext(events)
    found = metrics.recent_llm.statistics()["fake chat"]
    assert (found.count, found.errors) == (3, 1)


async def _drain(model: Model) -> None:
    async for _ in model.stream(REQUEST):
        pass


def _tokens(metrics: CapturedMetrics, kind: str) -> float:
    return metrics.value("llm_tokens_total", provider="fake", model="asked-1", kind=kind)
