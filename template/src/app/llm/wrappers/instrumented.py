"""Every call to a model: timed, counted and logged, whatever becomes of it."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

import structlog

from app.errors import LLMError
from app.llm.model import Model
from app.llm.types import ChatRequest, Done, LLMResponse, StreamEvent, TextDelta
from app.llm.wrappers.wrapper import Wrapper
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)
_PREVIEW_CHARS = 80


class Instrumented(Wrapper):
    """A model with a witness.

    `previews` writes the beginning of prompts and answers to the log. They are personal data: off,
    unless somebody debugs.
    """

    def __init__(self, model: Model, metrics: Metrics, *, previews: bool = False) -> None:
        super().__init__(model)
        self._metrics = metrics
        self._previews = previews

    async def complete(self, request: ChatRequest) -> LLMResponse:
        with self._observed(request, stream=False) as call:
            return call.answered(await self._model.complete(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        with self._observed(request, stream=True) as call:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        call.received_text()
                        yield event
                    else:
                        yield Done(call.answered(event.response))

    @contextmanager
    def _observed(self, request: ChatRequest, *, stream: bool) -> Iterator["_Call"]:
        call = _Call(request, stream=stream)
        try:
            yield call
        except Exception as error:
            call.failed(error)
            raise
        finally:
            self._count(call)
            self._report(call)

    def _count(self, call: "_Call") -> None:
        self._metrics.llm_request(self.name, call.outcome, call.latency_ms() / 1000)
        if call.outcome == "ok" and call.response is not None:
            usage = call.response.usage
            self._metrics.llm_tokens(
                self.name, prompt=usage.prompt_tokens, completion=usage.completion_tokens
            )

    def _report(self, call: "_Call") -> None:
        log = _log.warning if call.error is not None else _log.info
        previews = call.previews() if self._previews else {}
        log("llm.call", provider=self.name, **call.facts(), **previews)


class _Call:
    """What is known of one call so far.

    One that neither answers nor fails was given up by its caller: a client that went away, the
    loser of a race, a shutdown.
    """

    def __init__(self, request: ChatRequest, *, stream: bool) -> None:
        self.request = request
        self.stream = stream
        self.outcome = "cancelled"
        self.response: LLMResponse | None = None
        self.error: Exception | None = None
        self._started = time.perf_counter()
        self._first_text_ms: float | None = None

    def latency_ms(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)

    def received_text(self) -> None:
        if self._first_text_ms is None:
            self._first_text_ms = self.latency_ms()

    def answered(self, response: LLMResponse) -> LLMResponse:
        self.outcome = "cached" if response.cached else "ok"
        self.response = response.model_copy(update={"latency_ms": self.latency_ms()})
        return self.response

    def failed(self, error: Exception) -> None:
        self.error = error
        self.outcome = type(error).__name__ if isinstance(error, LLMError) else "unexpected"

    def facts(self) -> dict[str, object]:
        facts: dict[str, object] = {
            "model": self.request.model,
            "stream": self.stream,
            "outcome": self.outcome,
            "latency_ms": self.latency_ms(),
        }
        if self._first_text_ms is not None:
            facts["first_text_ms"] = self._first_text_ms
        if self.response is not None:
            facts["model"] = self.response.model
            facts["finish_reason"] = self.response.finish_reason
            facts["prompt_tokens"] = self.response.usage.prompt_tokens
            facts["completion_tokens"] = self.response.usage.completion_tokens
        if isinstance(self.error, LLMError):
            facts["error"] = self.error.message
            facts["status"] = self.error.status
        return facts

    def previews(self) -> dict[str, str]:
        prompt = self.request.messages[-1].content if self.request.messages else ""
        answer = self.response.content if self.response is not None else ""
        return {"prompt": prompt[:_PREVIEW_CHARS], "answer": answer[:_PREVIEW_CHARS]}
