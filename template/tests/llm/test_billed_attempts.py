"""Each attempt is counted, also one that fails, loses a race or is cancelled."""

import asyncio
from dataclasses import replace

import httpx2
import pytest
from pydantic import SecretStr

from app.errors import (
    MalformedAnswerError,
    OverloadedError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    StreamInterruptedError,
    UnsupportedRequestError,
)
from app.llm.costs import Receipt
from app.llm.guards.guard import stacked
from app.llm.guards.hedged import Hedged
from app.llm.guards.instrumented import Billed, Instrumented
from app.llm.guards.retrying import Retrying
from app.llm.http import HTTPPolicy, open_connections
from app.llm.model import Model
from app.llm.providers.openai.client import OpenAI
from app.llm.providers.policy import ProviderPolicy
from app.resilience.hedge import HedgePolicy
from app.resilience.retry import RetryPolicy
from app.testing import CapturedLogs, CapturedMetrics, FakeChatModel
from tests.llm.test_billed import PRICES, REQUEST, read_pieces


def counted(*models: Model) -> tuple[CapturedMetrics, list[Model]]:
    metrics = CapturedMetrics()
    return metrics, [stacked(model, [Instrumented(metrics), Billed(PRICES)]) for model in models]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ProviderTimeoutError("slow"), "timed_out"),
        (ProviderConnectionError("reset"), "interrupted"),
        (StreamInterruptedError("cut", text=""), "interrupted"),
        (MalformedAnswerError("odd"), "malformed"),
        (KeyError("ours"), "unexpected"),
        (RateLimitError("busy", status=429), None),
        (ProviderUnavailableError("down", status=503), None),
        (OverloadedError("full"), None),
        (UnsupportedRequestError("no"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_a_failed_call_is_of_unknown_cost_where_it_may_have_cost_something(
    error: Exception, reason: str | None
) -> None:
    metrics, (model,) = counted(FakeChatModel(error))
    with pytest.raises(type(error)):
        await model.complete(REQUEST)
    family = "llm_calls_of_unknown_cost_total"
    assert metrics.value(family) == (0 if reason is None else 1)
    if reason is not None:
        assert metrics.value(family, provider="fake", reason=reason) == 1


async def test_a_connection_that_is_refused_costs_nothing() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    policy = ProviderPolicy("http://provider", "m", SecretStr("k"))
    async with open_connections(HTTPPolicy(), httpx2.MockTransport(refuse)) as connections:
        metrics, (model,) = counted(OpenAI(policy, connections))
        with pytest.raises(ProviderConnectionError):
            await model.complete(REQUEST)
    assert metrics.value("llm_calls_of_unknown_cost_total") == 0


async def test_a_cancelled_call_is_of_unknown_cost() -> None:
    metrics, (model,) = counted(FakeChatModel([asyncio.Event().wait]))
    call = asyncio.create_task(model.complete(REQUEST))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert metrics.value("llm_calls_of_unknown_cost_total", reason="cancelled") == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_loser_of_a_race_is_of_unknown_cost(*, stream: bool) -> None:
    slow, quick = FakeChatModel([asyncio.Event().wait], name="slow"), FakeChatModel("Hello!")
    metrics, (first, second) = counted(slow, quick)
    hedged = stacked(first, [Hedged(HedgePolicy(after_s=0.001, max_extra=1), alternative=second)])
    unnamed = replace(REQUEST, model=None)  # a request with a model goes to its provider only
    await (read_pieces(hedged, 99, unnamed) if stream else hedged.complete(unnamed))
    family = "llm_calls_of_unknown_cost_total"
    assert metrics.value(family, provider="slow", reason="cancelled") == 1


async def test_each_attempt_of_a_call_is_counted(logs: CapturedLogs) -> None:
    metrics = CapturedMetrics()
    flaky = FakeChatModel(ProviderTimeoutError("slow"), ProviderTimeoutError("slow"), "Hello!")

    async def no_wait(_seconds: float) -> None:
        return

    retrying = Retrying(RetryPolicy(max_attempts=3), sleep=no_wait)
    model = stacked(flaky, [Instrumented(metrics), retrying, Billed(PRICES)])
    await model.complete(REQUEST)
    assert metrics.value("llm_calls_of_unknown_cost_total", reason="timed_out") == 2
    assert logs.events("llm.call")[0]["cost_unknown"] == "no_price"
    assert metrics.value("llm_requests_total", outcome="ok") == 1


async def test_waits_between_attempts_are_not_the_providers_time() -> None:
    metrics = CapturedMetrics()
    flaky = FakeChatModel(ProviderTimeoutError("slow"), "Hello!")

    async def wait(_seconds: float) -> None:
        await asyncio.sleep(0.05)

    retrying = Retrying(RetryPolicy(max_attempts=2), sleep=wait)
    model = stacked(flaky, [Instrumented(metrics), retrying, Billed()])
    await model.complete(REQUEST)
    assert metrics.value("llm_request_duration_seconds_sum") < 0.05
    assert metrics.value("llm_call_duration_seconds_sum", end="ok") >= 0.05


async def test_each_answer_and_each_failure_is_an_attempt() -> None:
    model = stacked(FakeChatModel(ProviderUnavailableError("busy"), "Hi"), [Billed(PRICES)])
    receipt = Receipt()
    with pytest.raises(ProviderUnavailableError):
        await model.complete(replace(REQUEST, receipt=receipt))
    await model.complete(replace(REQUEST, receipt=receipt))
    assert receipt.attempts == 2
