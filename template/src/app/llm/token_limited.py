"""The guard of `RATE_LIMIT_TOKENS_PER_MINUTE`."""

from dataclasses import replace

from app.errors import OverloadedError, TokenLimitError
from app.llm.costs import Receipt
from app.llm.estimates import AttemptUse, Estimator
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, R, T, watch
from app.llm.guards.rate_limited import RateLimited
from app.llm.opened_stream import Answer, Observer
from app.llm.types import ChatRequest, EmbeddingRequest
from app.resilience.rate_limit import LimitExceededError, RateLimiter


class TokenLimited(RateLimited):
    """Limits calls and their tokens: each call reserves an estimate, and its usage replaces it.

    The estimate is the prompt by its characters, and `max_tokens`. The usage is that of the receipt of
    `Billed` below, also for a stream that the caller leaves before its end.
    """

    counted = "calls or tokens"

    def __init__(
        self,
        limiter: RateLimiter,
        estimator: Estimator,
        *,
        tokens_per_minute: int,
        metrics: GuardMetrics = NO_METRICS,
    ) -> None:
        super().__init__(limiter, metrics=metrics)
        self._estimator = estimator
        self._tokens_per_minute = tokens_per_minute

    async def around(self, request: R, call: Call[R, T]) -> T:
        receipt = request.receipt or Receipt()
        request = replace(request, receipt=receipt)
        reserved = self._estimate(request)
        try:
            waited_s = await self._limiter.acquire(reserved)
        except LimitExceededError as error:
            raise self._refusal(error.retry_after_s) from error
        if waited_s > 0:
            self._report_wait(waited_s)
        use = AttemptUse(self._estimator, self.name, request, receipt)
        return await watch(_Attempt(self._limiter, reserved, use), call(request))

    def _estimate(self, request: ChatRequest | EmbeddingRequest) -> int:
        completion = (request.max_tokens or 0) if isinstance(request, ChatRequest) else 0
        tokens = self._estimator.of_part(request, self.name, completion).tokens
        if tokens > self._tokens_per_minute:
            raise TokenLimitError(
                f"The request may use {tokens} tokens, with max_tokens; the service sends {self.name} at "
                f"most {self._tokens_per_minute} per minute (RATE_LIMIT_TOKENS_PER_MINUTE)",
                provider=self.name,
            )
        return tokens


class _Attempt(Observer):
    def __init__(self, limiter: RateLimiter, reserved: int, use: AttemptUse) -> None:
        self._limiter = limiter
        self._reserved = reserved
        self._use = use

    async def finished(self, answer: Answer) -> Answer:
        await self._limiter.give_back(self._reserved - self._use.of(answer).tokens)
        return answer

    async def failed(self, error: BaseException) -> None:
        if isinstance(error, OverloadedError):  # nothing was sent
            await self._limiter.cancel(self._reserved)
            return
        await self._limiter.give_back(self._reserved - self._use.of_failure().tokens)
