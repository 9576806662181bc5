import time

from app.llm.attempt_errors import reason_of_unknown_cost
from app.llm.guards.guard import Call, Guard, R, T, watch
from app.llm.opened_stream import Answer, Observer
from app.llm.prices import NO_PRICES, PriceList
from app.llm.types import BrokenOff, Receipt, Usage


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
        attempt = _Attempt(self._vendor or self.name, request.model or "", receipt, self._prices)
        return await watch(attempt, call(request))


class _Attempt(Observer):
    def __init__(self, vendor: str, model: str, receipt: Receipt, prices: PriceList) -> None:
        self._vendor = vendor
        self._model = model
        self._receipt = receipt
        self._prices = prices
        self._started = time.perf_counter()

    async def finished(self, answer: Answer) -> Answer:
        self._end()
        self._charge(answer.model, answer.usage)
        return answer

    async def failed(self, error: BaseException) -> None:
        self._end()
        self._broke_off(error)

    def _end(self) -> None:
        self._receipt.attempts += 1
        self._receipt.provider_s += time.perf_counter() - self._started

    def _charge(self, model: str, usage: Usage) -> None:
        cost_usd = self._prices.cost_usd(self._vendor, model, usage)
        self._receipt.charge(usage, cost_usd)
        if cost_usd is None:
            self._receipt.unknown.append("no_price" if usage.is_known else "no_usage")

    def _broke_off(self, error: BaseException) -> None:
        reported, self._receipt.broken_off = self._receipt.broken_off or BrokenOff(None), None
        usage = reported.usage
        if usage is not None and reported.final:
            self._charge(self._model, usage)
            return
        reason = reason_of_unknown_cost(
            error, has_begun=usage is not None or reported.characters > 0
        )
        if reason is None:
            return
        self._receipt.unknown.append(reason)
        self._receipt.characters += reported.characters
        if usage is not None:
            self._receipt.charge(usage, self._prices.cost_usd(self._vendor, self._model, usage))
