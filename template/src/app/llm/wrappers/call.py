import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.errors import LLMError, UnsupportedRequest
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, Usage
from app.streaming.progress import StreamProgress
from app.telemetry.metrics import Operation

PREVIEW_CHARS = 80


class Call:
    """What is known of one call so far.

    One that neither answers nor fails was given up by its caller: a client that went away, the
    loser of a race, a shutdown. `over` is told when the call is, however it ended.
    """

    def __init__(
        self,
        request: ChatRequest | EmbeddingRequest,
        *,
        stream: bool = False,
        over: Callable[["Call"], None],
    ) -> None:
        self.request = request
        self.stream = stream
        self.outcome = "cancelled"
        self.model = request.model
        self.usage: Usage | None = None
        self.cost_usd: float | None = None
        self.error: Exception | None = None
        self.progress: StreamProgress | None = None
        self._over = over
        self._answer: LLMResponse | Embeddings | None = None
        self._started = time.perf_counter()
        self._ended: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            self._failed(error)
        self._over(self)

    @property
    def operation(self) -> Operation:
        return "chat" if isinstance(self.request, ChatRequest) else "embeddings"

    @property
    def is_fault(self) -> bool:
        """Asking somebody for what they do not offer is an answer, not a fault."""
        return self.error is not None and not isinstance(self.error, UnsupportedRequest)

    def duration_s(self) -> float:
        now = time.perf_counter() if self._ended is None else self._ended
        return now - self._started

    def progressed(self, progress: StreamProgress) -> None:
        self.progress = progress

    def answered(self, response: LLMResponse, cost_usd: float | None) -> LLMResponse:
        """Note the answer, and give it what its caller wants to know of the call."""
        self._end("cached" if response.cached else "ok")
        self._paid(response.model, response.usage, cost_usd)
        whole = response.model_copy(update={"latency_ms": self.latency_ms(), "cost_usd": cost_usd})
        self._answer = whole
        return whole

    def embedded(self, embeddings: Embeddings, usage: Usage, cost_usd: float | None) -> Embeddings:
        self._end("ok")
        self._paid(embeddings.model, usage, cost_usd)
        self._answer = embeddings
        return embeddings

    def _failed(self, error: Exception) -> None:
        self._end(type(error).__name__ if isinstance(error, LLMError) else "unexpected")
        self.error = error

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        self._ended = time.perf_counter()

    def _paid(self, model: str, usage: Usage, cost_usd: float | None) -> None:
        self.model, self.usage, self.cost_usd = model, usage, cost_usd

    def latency_ms(self) -> float:
        return round(self.duration_s() * 1000, 3)

    def token_s(self) -> float | None:
        """Seconds per token after the first text; unknown without two tokens to measure between.

        Providers send several tokens in a chunk, so the time between chunks would say little.
        """
        if self.progress is None or self.progress.first_s is None or self.usage is None:
            return None
        tokens = self.usage.completion_tokens - 1
        return (self.progress.elapsed_s - self.progress.first_s) / tokens if tokens > 0 else None

    def facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "operation": self.operation,
            "model": self.model,
            "stream": self.stream,
            "outcome": self.outcome,
            "latency_ms": self.latency_ms(),
        }
        if self.progress is not None and self.progress.first_s is not None:
            facts["first_text_ms"] = round(self.progress.first_s * 1000, 3)
        if isinstance(self._answer, LLMResponse):
            facts["finish_reason"] = self._answer.finish_reason
        if self.usage is not None:
            facts["prompt_tokens"] = self.usage.prompt_tokens
            facts["completion_tokens"] = self.usage.completion_tokens
            facts["cost_usd"] = self.cost_usd
        if isinstance(self.request, EmbeddingRequest):
            facts["texts"] = len(self.request.texts)
        if isinstance(self.error, LLMError):
            facts["error"] = self.error.message
            facts["status"] = self.error.status
        return facts

    def previews(self) -> dict[str, str]:
        """The beginning of the last message, or of the first text, and of the answer."""
        if isinstance(self.request, EmbeddingRequest):
            return {"prompt": "".join(self.request.texts[:1])[:PREVIEW_CHARS]}
        prompt = self.request.messages[-1].content if self.request.messages else ""
        answer = self._answer.content if isinstance(self._answer, LLMResponse) else ""
        return {"prompt": prompt[:PREVIEW_CHARS], "answer": answer[:PREVIEW_CHARS]}
