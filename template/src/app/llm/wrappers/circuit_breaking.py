import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import structlog

from app.errors import (
    AuthenticationFailed,
    CircuitOpen,
    ConnectionFailed,
    LimitReached,
    LLMError,
    MalformedAnswer,
    NoConnectionFree,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    StreamInterrupted,
    TimedOut,
    UnsupportedRequest,
)
from app.llm.model import Model
from app.llm.types import ChatRequest, Done, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.wrapper import Wrapper
from app.resilience.circuit_breaker import (
    NOT_SHARED,
    BreakerPolicy,
    CircuitBreaker,
    CircuitState,
    OpenCircuitError,
    Permit,
    SharedCircuit,
)
from app.resilience.health import Health

_log = structlog.get_logger(__name__)

# These say nothing about the provider: it was not asked, or asks for a pause and is well. A pause
# is kept by `Retrying`; as a failure it would turn every busy minute into an outage.
_NEUTRAL = (LimitReached, CircuitOpen, UnsupportedRequest, NoConnectionFree, RateLimited)

_DOWN = (ConnectionFailed, TimedOut, ProviderUnavailable, StreamInterrupted, MalformedAnswer)

# No health, but the provider answers, and fast. A pause would not give us a key or money, and
# `CircuitOpen` would hide the reason. What it refuses otherwise is the matter of the one request.
_UNUSABLE = (*_DOWN, AuthenticationFailed, QuotaExhausted)


class CircuitBreaking(Wrapper):
    """Leaves a provider alone for a while that keeps failing. `health` is what its calls tell."""

    def __init__(
        self,
        model: Model,
        policy: BreakerPolicy,
        *,
        shared: SharedCircuit = NOT_SHARED,
        meter: Meter = NOT_METERED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(model)
        self._reset_s = policy.reset_s
        self._shared = shared
        self._has_opened = False
        self._meter = meter
        self._meter.breaker_state(self.name, "closed")
        self._breaker = CircuitBreaker(policy, on_change=self._report, clock=clock)
        self.health = Health(lambda: self._breaker.state, clock=clock)

    async def complete(self, request: ChatRequest) -> LLMResponse:
        async with self._watched() as permit:
            response = await self._model.complete(request)
            self._answered(permit)
            return response

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        events = self._model.stream(request)
        async with self._watched() as permit, aclosing(events):
            async for event in events:
                if isinstance(event, Done):
                    self._answered(permit)
                else:
                    permit.responds()
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        async with self._watched() as permit:
            embeddings = await self._model.embed(request)
            self._answered(permit)
            return embeddings

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[Permit]:
        """Neither a cancelled call nor a stream that nobody wants any more is a verdict."""
        with self._permit() as permit:
            try:
                yield permit
            except LLMError as error:
                self._failed(permit, error)
                if isinstance(error, _DOWN):
                    await self._confer()
                raise

    async def _confer(self) -> None:
        """Tell other processes that the circuit is open; or hear it, when it is closed still."""
        if self._has_opened:
            self._has_opened = False
            await self._shared.opened(self._reset_s)
        elif self._breaker.state == "closed":
            left_s = await self._shared.open_elsewhere_s()
            if left_s > 0 and self._breaker.state == "closed":
                self._breaker.leave_alone(left_s, "another process found out too")
                self._has_opened = False  # they know

    def _permit(self) -> Permit:
        try:
            return self._breaker.enter()
        except OpenCircuitError as refusal:
            raise CircuitOpen(
                f"{self.name} failed too often of late and is left alone for a while",
                provider=self.name,
                retry_after_s=refusal.retry_after_s,
            ) from None

    def _answered(self, permit: Permit) -> None:
        permit.succeeded()
        self.health.record(ok=True)

    def _failed(self, permit: Permit, error: LLMError) -> None:
        if isinstance(error, _NEUTRAL):
            return
        self.health.record(ok=not isinstance(error, _UNUSABLE))
        if isinstance(error, _DOWN):
            permit.failed()
        else:
            permit.succeeded()

    def _report(self, state: CircuitState, why: str, /) -> None:
        self._has_opened = state == "open"
        self._meter.breaker_state(self.name, state)
        level = logging.WARNING if state == "open" else logging.INFO
        _log.log(level, "llm.circuit", provider=self.name, state=state, why=why)
