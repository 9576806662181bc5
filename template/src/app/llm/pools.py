"""A connection pool for each provider, so that a provider that hangs does not block the others."""

from collections.abc import AsyncIterator, Callable

import httpx2 as httpx
import structlog

from app.errors import OverloadedError
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.resilience.bulkhead import Bulkhead, BulkheadFullError
from app.telemetry.correlation import client, tenant
from app.telemetry.logging import Sampler

_log = structlog.get_logger(__name__)

# Probes have their own pool. Otherwise a full pool of calls would look like a failing provider.
_PROBE_CONNECTIONS = 2


class Pools:
    """Transports by provider, created at first use: unused providers cost nothing.

    With HTTP/1.1 a connection carries one call at a time, so the size of the pool limits the
    concurrent calls to its provider. Above it, calls wait in the queue of their provider's bulkhead,
    or fail with `OverloadedError`.
    """

    def __init__(
        self,
        size: int,
        open_pool: Callable[[int], httpx.AsyncBaseTransport],
        new_bulkhead: Callable[[], Bulkhead],
        metrics: GuardMetrics = NO_METRICS,
    ) -> None:
        self._size = size
        self._open_pool = open_pool
        self._new_bulkhead = new_bulkhead
        self._metrics = metrics
        self._gates: dict[str, Gate] = {}
        self._calls: dict[str, BoundedTransport] = {}
        self._probes: dict[str, httpx.AsyncBaseTransport] = {}

    def calls(self, provider: str) -> httpx.AsyncBaseTransport:
        if provider not in self._calls:
            pool = self._open_pool(self._size)
            self._calls[provider] = BoundedTransport(pool, self.gate(provider))
        return self._calls[provider]

    def probes(self, provider: str) -> httpx.AsyncBaseTransport:
        if provider not in self._probes:
            self._probes[provider] = self._open_pool(_PROBE_CONNECTIONS)
        return self._probes[provider]

    def gate(self, provider: str) -> "Gate":
        """The places and the queue of a provider's calls."""
        if provider not in self._gates:
            bulkhead = self._new_bulkhead()
            self._gates[provider] = Gate(provider, bulkhead, self._metrics)
            self._metrics.queue(provider, lambda: bulkhead.waiting, lambda: bulkhead.load)
        return self._gates[provider]

    @property
    def opened(self) -> list[str]:
        """The providers that have a pool for calls so far."""
        return [*self._calls]

    async def aclose(self) -> None:
        for pool in (*self._calls.values(), *self._probes.values()):
            await pool.aclose()


class GivenTransport:
    """One transport in place of all pools, without limits: a fake or a recording one."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    def calls(self, _provider: str) -> httpx.AsyncBaseTransport:
        return self._transport

    probes = calls

    def gate(self, _provider: str) -> None:
        """There is no limit."""

    @property
    def opened(self) -> list[str]:
        return []

    async def aclose(self) -> None:
        await self._transport.aclose()


class Gate:
    """The bulkhead of one provider, and the report of each call that it refuses."""

    def __init__(
        self, provider: str, bulkhead: Bulkhead, metrics: GuardMetrics = NO_METRICS
    ) -> None:
        self.bulkhead = bulkhead
        self._provider = provider
        self._metrics = metrics
        self._sampler = Sampler()

    def waited(self, seconds: float) -> None:
        self._metrics.queue_wait(self._provider, seconds)

    def refused(self, error: BulkheadFullError) -> OverloadedError:
        """Count and log a refusal, and make the error of the call."""
        if error.reason != "busy":  # the next provider takes such a call
            self._metrics.shed(self._provider, error.reason)
            self._log_sampled(error)
        return OverloadedError(
            f"{self._provider} was not called: too many calls are waiting for it",
            provider=self._provider,
            retry_after_s=error.retry_after_s,
        )

    def _log_sampled(self, error: BulkheadFullError) -> None:
        if (left_out := self._sampler.take(error.reason)) is None:
            return
        _log.warning(
            "llm.shed",
            provider=self._provider,
            reason=error.reason,
            waiting=self.bulkhead.waiting,
            retry_after_s=round(error.retry_after_s, 3),
            left_out=left_out,
        )


class BoundedTransport(httpx.AsyncBaseTransport):
    """A transport with the places of a bulkhead. A call has its place until its answer is closed."""

    def __init__(self, transport: httpx.AsyncBaseTransport, gate: Gate) -> None:
        self._transport = transport
        self._gate = gate
        self._bulkhead = gate.bulkhead

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        caller = client.get() or tenant.get() or ""
        try:
            waited_s = await self._bulkhead.take(caller)
        except BulkheadFullError as error:
            raise self._gate.refused(error) from error
        if waited_s:
            self._gate.waited(waited_s)
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            self._bulkhead.release(caller)
            raise
        response.stream = _Body(response.stream, self._bulkhead, caller)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of an answer. Closing it gives the place back."""

    def __init__(self, body: object, bulkhead: Bulkhead, caller: str) -> None:
        if not isinstance(body, httpx.AsyncByteStream):
            raise TypeError("the transport answered with a body that is not asynchronous")
        self._body = body
        self._bulkhead = bulkhead
        self._caller = caller
        self._is_open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._body)

    async def aclose(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        try:
            await self._body.aclose()
        finally:
            self._bulkhead.release(self._caller)
