"""The record of one call to a model: what is timed, counted and logged when the call ends."""

import math
import time
from collections.abc import Callable
from typing import Literal

from app.errors import LLMError
from app.llm.costs import Receipt
from app.llm.exchange import failure_fields, support_fields
from app.llm.opened_stream import Answer, Observer
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, TextDelta, Usage
from app.streaming.progress import StreamMeter
from app.telemetry.redaction import preview

PREVIEW_CHARS = 80

# About as many as a token of English has. Only for values that are marked as estimates.
_CHARACTERS_PER_TOKEN = 4


class CallRecord(Observer):
    """The known facts of one call. `report` is called once, when the call has ended.

    A call without an answer and without an error was abandoned by its caller: a client that
    disconnected, the loser of a race, a shutdown. `receipt` is to be sent down with the request.
    """

    def __init__(
        self,
        request: ChatRequest | EmbeddingRequest,
        report: Callable[["CallRecord"], None],
        *,
        stream: bool,
    ) -> None:
        self.request = request
        self.operation: Literal["chat", "embeddings"] = (
            "chat" if isinstance(request, ChatRequest) else "embeddings"
        )
        self.stream = stream
        self.receipt = Receipt()
        self.outcome = "cancelled"
        self.model = request.model
        self.error: Exception | None = None
        self.answer: LLMResponse | Embeddings | None = None
        self.duration_s = 0.0
        self._report = report
        self._meter = StreamMeter() if stream else None
        self._started = time.perf_counter()

    def delta(self, text: TextDelta) -> None:
        if self._meter is not None:
            self._meter.arrived(len(text.text))

    async def finished(self, answer: Answer) -> Answer:
        """Record the answer, and add its latency and cost.

        A cached answer costs nothing: it was paid for when the cache stored it.
        """
        self.duration_s = time.perf_counter() - self._started
        self.outcome, self.model = "ok", answer.model
        if isinstance(answer, LLMResponse):
            cost_usd = self.receipt.answer_cost_usd
            if answer.cached:
                self.outcome, cost_usd = "cached", 0.0
            known = {"latency_ms": round(self.duration_s * 1000, 3), "cost_usd": cost_usd}
            answer = answer.model_copy(update=known)
        self.answer = answer
        self._report(self)
        return answer

    async def failed(self, error: BaseException) -> None:
        self.duration_s = time.perf_counter() - self._started
        if isinstance(error, Exception):
            self.outcome = type(error).__name__ if isinstance(error, LLMError) else "unexpected"
            self.error = error
        self._report(self)

    @property
    def first_text_s(self) -> float | None:
        """Seconds until the first text of a stream."""
        return None if self._meter is None else self._meter.first_s

    def token_s(self) -> float | None:
        """Seconds per token after the first text; unknown without two tokens to measure between.

        Providers send several tokens in a chunk, so the time between chunks would say little.
        """
        meter = self._meter
        if meter is None or meter.first_s is None or not isinstance(self.answer, LLMResponse):
            return None
        tokens = self.answer.usage.completion_tokens - 1
        return (meter.elapsed_s - meter.first_s) / tokens if tokens > 0 else None

    def fields(self) -> dict[str, object]:
        """The fields of the call's log line."""
        fields: dict[str, object] = {
            "operation": self.operation,
            "model": self.model,
            "stream": self.stream,
            "outcome": self.outcome,
            "latency_ms": round(self.duration_s * 1000, 3),
        }
        if self._meter is not None and self._meter.first_s is not None:
            fields["first_text_ms"] = round(self._meter.first_s * 1000, 3)
        if isinstance(self.answer, LLMResponse):
            fields["finish_reason"] = self.answer.finish_reason
        self._add_costs(fields)
        for known in (self.answer, self.error):
            if isinstance(known, LLMResponse | LLMError):
                fields.update(support_fields(known))
        if isinstance(self.request, EmbeddingRequest):
            fields["texts"] = len(self.request.texts)
        elif (prompt := self.request.prompt) is not None:
            fields |= {"prompt_name": prompt.name, "prompt_version": prompt.version}
        if isinstance(self.error, LLMError):
            fields["error"] = self.error.message
            fields["status"] = self.error.status
            fields.update(failure_fields(self.error))
            if self._meter is not None and self._meter.chunks:
                fields["text_chunks"] = self._meter.chunks
        return fields

    def _add_costs(self, fields: dict[str, object]) -> None:
        """What all attempts cost, as far as it is known."""
        receipt, usage = self.receipt, self.receipt.usage or self._usage_in_cache()
        if usage is not None:
            for kind, tokens in usage.by_kind.items():
                fields[f"{kind}_tokens"] = tokens
            fields["cost_usd"] = receipt.cost_usd if receipt.usage else 0.0
        if receipt.unknown:
            fields["cost_unknown"] = receipt.unknown[-1]
        if receipt.characters:
            estimated = math.ceil(receipt.characters / _CHARACTERS_PER_TOKEN)
            fields["completion_tokens_estimated"] = estimated

    def _usage_in_cache(self) -> Usage | None:
        answer = self.answer
        return answer.usage if isinstance(answer, LLMResponse) and answer.cached else None

    def previews(self) -> dict[str, str]:
        """The beginning of the last message, or of the first text, and of the answer."""
        if isinstance(self.request, EmbeddingRequest):
            return {"prompt": preview("".join(self.request.texts[:1]), PREVIEW_CHARS)}
        prompt = self.request.messages[-1].text if self.request.messages else ""
        answer = self.answer.content if isinstance(self.answer, LLMResponse) else ""
        return {"prompt": preview(prompt, PREVIEW_CHARS), "answer": preview(answer, PREVIEW_CHARS)}
