"""A model that the settings do not name has a circuit of its own."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace

import pytest

from app.errors import CircuitOpenError, LLMError, MalformedAnswerError
from app.llm.guards.circuit_breaking import CircuitBreaking
from app.llm.guards.guard import stacked
from app.llm.types import ChatRequest, Done, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.resilience.circuit_breaker import BreakerPolicy
from app.testing import CapturedMetrics, FakeChatModel, FakeClock
from tests.llm.samples import REQUEST


class ModelsBench:
    """A provider with two models in the settings: the model that a caller names decides."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broken = {"odd"}
        self.asked: list[str | None] = []
        self.metrics = CapturedMetrics()
        self.told: list[float] = []
        self.guard = CircuitBreaking(
            BreakerPolicy(failures=2, reset_s=30),
            models={"default", "embedder"},
            shared=self,
            metrics=self.metrics,
            clock=self.clock.monotonic,
        )
        self.guarded = stacked(self, [self.guard])

    name = "fake"

    async def complete(self, request: ChatRequest) -> LLMResponse:
        self.asked.append(request.model)
        if request.model in self.broken:
            raise MalformedAnswerError("?")
        return FakeChatModel().response("Hello!")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        yield Done(await self.complete(request))

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        await self.complete(replace(REQUEST, model=request.model))
        return Embeddings(model="embedder", vectors=(), prompt_tokens=0)

    async def opened(self, for_s: float) -> None:
        self.told.append(for_s)

    async def remote_open_s(self) -> float:
        return 0.0

    async def asks(self, model: str | None, times: int = 1) -> None:
        for _ in range(times):
            with suppress(LLMError):
                await self.guarded.complete(replace(REQUEST, model=model))


async def test_an_odd_model_that_fails_opens_the_circuit_for_itself_only() -> None:
    bench = ModelsBench()
    await bench.asks("odd", times=5)
    assert bench.asked == ["odd"] * 2
    for model in ("default", "another", None):
        assert (await bench.guarded.complete(replace(REQUEST, model=model))).content == "Hello!"
    await bench.guarded.embed(EmbeddingRequest(("a",), model="embedder"))
    report = bench.guard.health.report()
    assert (report.state, report.success_rate, bench.told) == ("closed", 1.0, [])
    assert bench.metrics.value("llm_breaker_state", state="open") == 0


async def test_the_circuit_of_an_odd_model_closes_again() -> None:
    bench = ModelsBench()
    await bench.asks("odd", times=3)
    bench.broken.clear()
    bench.clock.now += 30
    assert (await bench.guarded.complete(replace(REQUEST, model="odd"))).content == "Hello!"


async def test_models_of_the_settings_share_the_circuit_of_the_provider() -> None:
    bench = ModelsBench()
    bench.broken = {"default", "embedder"}
    await bench.asks("default")
    with suppress(LLMError):
        await bench.guarded.embed(EmbeddingRequest(("a",), model="embedder"))
    assert (bench.guard.health.report().state, bench.told) == ("open", [30])
    with pytest.raises(CircuitOpenError):
        await bench.guarded.complete(replace(REQUEST, model=None))
    assert bench.metrics.value("llm_breaker_state", state="open") == 1


async def test_circuits_of_odd_models_are_bounded() -> None:
    bench = ModelsBench()
    models = [f"odd-{number}" for number in range(101)]
    bench.broken = {*models}
    for model in models:
        await bench.asks(model, times=2)
    bench.asked.clear()
    for model in reversed(models):
        await bench.asks(model)
    assert bench.asked == [models[0]]
