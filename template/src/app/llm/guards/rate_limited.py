import structlog

from app.errors import LimitReachedError, OverloadedError
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, Guard, R, T
from app.resilience.rate_limit import LimitExceededError, RateLimiter

_log = structlog.get_logger(__name__)


class RateLimited(Guard):
    """Each call waits for its turn, or is refused before anything is sent.

    A call that finds no connection after its turn was not sent, so its turn is given back.
    """

    counted = "calls"

    def __init__(self, limiter: RateLimiter, *, metrics: GuardMetrics = NO_METRICS) -> None:
        self._limiter = limiter
        self._metrics = metrics

    async def around(self, request: R, call: Call[R, T]) -> T:
        try:
            waited_s = await self._limiter.acquire()
        except LimitExceededError as error:
            raise self._refusal(error.retry_after_s) from error
        if waited_s > 0:
            self._report_wait(waited_s)
        try:
            return await call(request)
        except OverloadedError:
            await self._limiter.cancel()
            raise

    def _report_wait(self, waited_s: float) -> None:
        self._metrics.limiter_wait(self.name, waited_s)
        _log.info("llm.rate_limited", provider=self.name, waited_s=round(waited_s, 3))

    def _refusal(self, retry_after_s: float) -> LimitReachedError:
        self._metrics.limiter_refused(self.name)
        _log.warning("llm.limit_reached", provider=self.name, retry_after_s=round(retry_after_s, 3))
        message = f"{self.name} was not called: the limit of {self.counted} per minute is reached"
        return LimitReachedError(message, provider=self.name, retry_after_s=retry_after_s)
