import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import structlog

from app.errors import CircuitOpenError, LLMError
from app.llm.attempt_errors import DOWN, NEUTRAL, UNUSABLE
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, Guard, R, T, watch
from app.llm.opened_stream import Answer, Observer
from app.llm.types import TextDelta
from app.resilience.circuit_breaker import (
    BreakerPolicy,
    CircuitBreaker,
    CircuitState,
    OpenCircuitError,
    Permit,
    SharedCircuit,
)
from app.resilience.health import Health

_log = structlog.get_logger(__name__)

# Circuits of models that only callers name. The least recently used one is dropped.
_MAX_OTHER_MODELS = 100


class CircuitBreaking(Guard):
    """Fails fast, without a call, for a while after a provider has failed repeatedly.

    `models` are those of the settings: they have one circuit, which is shared, counted and in
    `health`. A caller may name any other model. Each of these has a circuit of its own, so that a
    model that does not work opens no other circuit. Without `models` all have the one circuit.

    A stream closes a half-open circuit with its first event, and counts as a success at its end. A
    call that its caller cancels or leaves does not count.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        models: Collection[str] = (),
        shared: SharedCircuit | None = None,
        metrics: GuardMetrics = NO_METRICS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._models = frozenset(models)
        self._others: OrderedDict[str, CircuitBreaker] = OrderedDict()
        self._shared = shared
        self._breaker = CircuitBreaker(policy, on_change=self._report, clock=clock)
        self._metrics = metrics
        self.health = Health(lambda: self._breaker.state, clock=clock)

    def protect(self, name: str) -> None:
        super().protect(name)
        self._metrics.breaker(name, lambda: self._breaker.state)

    async def around(self, request: R, call: Call[R, T]) -> T:
        try:
            permit = self._breaker_of(request.model).enter()
        except OpenCircuitError as refusal:
            raise CircuitOpenError(
                f"{self.name} failed too often; its circuit is open",
                provider=self.name,
                retry_after_s=refusal.retry_after_s,
            ) from None
        return await watch(_Outcome(self, permit), call(request))

    async def failed(self, permit: Permit, error: LLMError) -> None:
        if isinstance(error, NEUTRAL):
            return
        configured = permit.breaker is self._breaker
        usable = not isinstance(error, UNUSABLE)
        if usable or configured:
            self.health.calls.add(ok=usable)
        if not isinstance(error, DOWN):
            permit.succeeded()
            return
        permit.failed()
        if configured and self._shared is not None:
            await self._breaker.synchronize(self._shared)

    def _breaker_of(self, model: str | None) -> CircuitBreaker:
        if model is None or not self._models or model in self._models:
            return self._breaker
        if model not in self._others:
            report = partial(self._report_other, model)
            self._others[model] = CircuitBreaker(self._policy, on_change=report, clock=self._clock)
            if len(self._others) > _MAX_OTHER_MODELS:
                self._others.popitem(last=False)
        self._others.move_to_end(model)
        return self._others[model]

    def _report(self, state: CircuitState, why: str, /) -> None:
        level = logging.WARNING if state == "open" else logging.INFO
        _log.log(level, "llm.circuit", provider=self.name, state=state, why=why)

    def _report_other(self, model: str, state: CircuitState, why: str, /) -> None:
        _log.info("llm.model_circuit", provider=self.name, model=model, state=state, why=why)


@dataclass(slots=True)
class _Outcome(Observer):
    """Reports to the circuit how a call went."""

    guard: CircuitBreaking
    permit: Permit

    def delta(self, _text: TextDelta) -> None:
        self.permit.responds()

    async def finished(self, answer: Answer) -> Answer:
        self.permit.succeeded()
        self.guard.health.calls.add(ok=True)
        return answer

    async def failed(self, error: BaseException) -> None:
        try:
            if isinstance(error, LLMError):
                await self.guard.failed(self.permit, error)
        finally:
            self.permit.release()
