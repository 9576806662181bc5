"""Every call to a model: timed, counted, priced and logged, however it ends."""

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import structlog

from app.errors import OverloadedError, UnsupportedRequestError
from app.llm.attempt_errors import reason_of_unknown_cost
from app.llm.call_record import CallRecord
from app.llm.costs import NO_PRICES, BrokenOff, PriceList, Receipt
from app.llm.guards.guard import Call, Guard, R, T, Work, watch
from app.llm.opened_stream import Answer, Observer, OpenedStream
from app.llm.types import ChatRequest, Usage
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


class Instrumented(Guard):
    """Measures and logs each call. `Billed`, next to the provider, reports the cost of its attempts.

    `models` are the models that have a label of their own in metrics; all others are "other".
    `previews` writes the beginning of prompts and answers to the log. They are personal data, so
    previews are for debugging only.
    """

    def __init__(
        self, metrics: Metrics, *, models: Collection[str] = (), previews: bool = False
    ) -> None:
        self._metrics = metrics
        self._models = frozenset(models)
        self._previews = previews

    async def around(self, request: R, call: Call[R, T], *, stream: bool = False) -> T:
        self._metrics.llm_in_flight[self.name].inc()
        record = CallRecord(request, self._report, stream=stream)
        return await watch(record, call(replace(request, receipt=record.receipt)))

    def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> Work[OpenedStream]:
        return self.around(request, call, stream=True)

    def _report(self, record: CallRecord) -> None:
        self._metrics.llm_in_flight[self.name].dec()
        # The requested name, if configured; an answer may name a snapshot of the model instead.
        known = [name for name in (record.request.model, record.model) if name in self._models]
        self._count(record, known[0] if known else "other")
        if isinstance(record.error, OverloadedError):
            return  # thousands a second: `llm.shed` is sampled
        # A provider without the requested feature is an answer, not a fault.
        is_fault = record.error and not isinstance(record.error, UnsupportedRequestError)
        level = logging.WARNING if is_fault else logging.INFO
        previews = record.previews() if self._previews else {}
        _log.log(level, "llm.call", provider=self.name, **record.fields(), **previews)

    def _count(self, record: CallRecord, model: str) -> None:
        """Count the call, its tokens and its cost: broken and cancelled calls have costs too."""
        name, metrics, receipt = self.name, self._metrics, record.receipt
        provider_s = receipt.provider_s if receipt.attempts else None
        metrics.llm_request(
            name, record.operation, model, record.outcome, record.duration_s, provider_s=provider_s
        )
        if record.stream and record.outcome == "ok" and record.first_text_s is not None:
            metrics.first_token(name, record.first_text_s)
            if (token_s := record.token_s()) is not None:
                metrics.per_token(name, token_s)
        tokens = {} if receipt.usage is None else receipt.usage.by_kind
        metrics.llm_costs(name, model, tokens, receipt.cost_usd, receipt.unknown)


class Billed(Guard):
    """Notes on the request's receipt the time and cost of each attempt at the provider.

    It is next to the provider: no wait for a limit or between attempts is in its time. An attempt
    that broke off counts with what the provider had reported. Where that is not all, its cost is
    unknown, and the receipt has the reason; an attempt that the provider answered with an error
    status costs nothing. The prices are those of `vendor`, if it has another name.
    """

    def __init__(self, prices: PriceList = NO_PRICES, *, vendor: str = "") -> None:
        self._prices = prices
        self._vendor = vendor

    async def around(self, request: R, call: Call[R, T]) -> T:
        receipt = request.receipt or Receipt()
        receipt.attempts += 1
        attempt = _Attempt(self._vendor or self.name, request.model or "", receipt, self._prices)
        return await watch(attempt, call(request))


@dataclass(slots=True)
class _Attempt(Observer):
    """Charges one attempt to the receipt of its call."""

    vendor: str
    model: str
    receipt: Receipt
    prices: PriceList
    started: float = field(default_factory=time.perf_counter)

    async def finished(self, answer: Answer) -> Answer:
        self.receipt.provider_s += time.perf_counter() - self.started
        self._charge(answer.model, answer.usage)
        return answer

    async def failed(self, error: BaseException) -> None:
        self.receipt.provider_s += time.perf_counter() - self.started
        self._broke_off(error)

    def _charge(self, model: str, usage: Usage) -> None:
        cost_usd = self.prices.cost_usd(self.vendor, model, usage)
        self.receipt.charge(usage, cost_usd)
        if cost_usd is None:
            self.receipt.unknown.append("no_price" if usage.is_known else "no_usage")

    def _broke_off(self, error: BaseException) -> None:
        reported, self.receipt.broken_off = self.receipt.broken_off or BrokenOff(None), None
        usage = reported.usage
        if usage is not None and reported.final:
            self._charge(self.model, usage)
            return
        reason = reason_of_unknown_cost(
            error, has_begun=usage is not None or reported.characters > 0
        )
        if reason is None:
            return
        self.receipt.unknown.append(reason)
        self.receipt.characters += reported.characters
        if usage is not None:
            self.receipt.charge(usage, self.prices.cost_usd(self.vendor, self.model, usage))
