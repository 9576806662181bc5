import structlog

from app.errors import LLMError
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, Guard
from app.llm.model import Model, open_stream
from app.llm.opened_stream import OpenedStream
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse
from app.resilience.hedge import Hedge, HedgePolicy

_log = structlog.get_logger(__name__)


class Hedged(Guard):
    """Asks a second time when an answer, or a stream's first event, takes long.

    The second request goes to `alternative`: the same providers in another order. It goes to the same
    model when the request names a provider or a model, because a name is valid for its provider only;
    and for embeddings, because vectors of two models cannot be compared.

    A stream is opened in one task and read in another: nothing below may depend on its task.
    """

    def __init__(
        self,
        policy: HedgePolicy,
        *,
        alternative: Model | None = None,
        metrics: GuardMetrics = NO_METRICS,
    ) -> None:
        self._metrics = metrics
        self._alternative = alternative
        self._answers = self._hedge(policy)
        self._first_events = self._hedge(policy)
        self._embeddings = self._hedge(policy)

    async def complete(
        self, request: ChatRequest, call: Call[ChatRequest, LLMResponse]
    ) -> LLMResponse:
        other = self._other(request)
        second = call if other is None else other.complete
        return await self._answers(lambda: call(request), lambda: second(request))

    async def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> OpenedStream:
        other = self._other(request)
        return await self._first_events(
            lambda: call(request),
            lambda: call(request) if other is None else open_stream(other, request),
            discard=OpenedStream.aclose,
        )

    async def embed(
        self, request: EmbeddingRequest, call: Call[EmbeddingRequest, Embeddings]
    ) -> Embeddings:
        return await self._embeddings(lambda: call(request), lambda: call(request))

    def _other(self, request: ChatRequest) -> Model | None:
        named = request.provider is not None or request.model is not None
        return None if named else self._alternative

    def _hedge(self, policy: HedgePolicy) -> Hedge:
        return Hedge(policy, catch=LLMError, report=self._report)

    def _report(self, after_s: float, winner: int, /) -> None:
        self._metrics.hedge(self.name, won=winner > 0)
        _log.info("llm.hedge", after_s=round(after_s, 3), won=("first", "second")[winner])
