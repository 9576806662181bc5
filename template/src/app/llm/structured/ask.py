"""Asks a model for an instance of a Pydantic model and validates the answer.

The schema is sent with the provider's own JSON mode, or in the prompt if the provider's facts say
that it has none. If a provider refuses the JSON mode (an older model), the question is sent once
more with the schema in the prompt. The answer is parsed while it arrives. The first valid value is
used when the stream ends, breaks off or stops sending. It is not used earlier, because a model that
thinks aloud writes drafts, and only the end of its thoughts shows that they are drafts.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
from pydantic import BaseModel

from app.errors import (
    ContextTooLongError,
    LLMError,
    MalformedAnswerError,
    NoValidAnswerError,
    RequestRefusedError,
)
from app.llm.model import ChatModel
from app.llm.structured.parse import AnswerError, JSONAnswer
from app.llm.structured.schema import answer_schema, instruction
from app.llm.types import (
    AnswerSchema,
    ChatRequest,
    Done,
    FinishReason,
    LLMResponse,
    Message,
    StreamEvent,
    TextDelta,
)

_log = structlog.get_logger(__name__)

M = TypeVar("M", bound=BaseModel)

DEFAULT_ATTEMPTS = 3
_SHOWN_CHARS = 20_000  # of an invalid answer, when the model gets it back with the errors in it
# A valid value may be a draft; then a `</think>` follows it. A model that is still writing does not
# pause for so long, so silence after a valid value means that the stream hangs.
_SILENCE_S = 2.0
_NOT_UNDERSTOOD = {400, 422}

# Finish reasons after which another attempt would only cost the same again.
_FINAL: dict[FinishReason, AnswerError] = {
    "length": AnswerError("cut_off", "the answer was cut off; max_tokens may be too small for it"),
    "content_filter": AnswerError("content_filter", "the provider's filter stopped the answer"),
    "refusal": AnswerError("refusal", "the model refused to answer"),
}


@dataclass(frozen=True, slots=True)
class _Invalid:
    response: LLMResponse
    errors: Sequence[AnswerError]

    @property
    def final(self) -> bool:
        return self.response.finish_reason in _FINAL


async def ask_for(
    kind: type[M], model: ChatModel, request: ChatRequest, *, attempts: int = DEFAULT_ATTEMPTS
) -> M:
    """Ask until an answer validates; each new attempt contains the errors of the last answer.

    Raises `NoValidAnswerError` after `attempts`, or at once if the model refuses, is filtered or is cut
    off; and the errors of the model. The messages of your validators are shown to the model, to the
    caller and in the log, so they should not quote the answer.
    """
    schema = answer_schema(kind)
    question, answer = await _first(kind, model, replace(request, answer_schema=schema), schema)
    attempt = 1
    while isinstance(answer, _Invalid):
        _report(kind, answer, attempt)
        if answer.final or attempt >= attempts:
            raise _no_valid_answer(kind, answer, attempt)
        attempt += 1
        answer = await _read(kind, model, _corrected(question, answer, schema))
    return answer


async def _first(
    kind: type[M], model: ChatModel, question: ChatRequest, schema: AnswerSchema
) -> tuple[ChatRequest, M | _Invalid]:
    """The first attempt; also returns the form of the question that the provider accepts."""
    try:
        return question, await _read(kind, model, question)
    except RequestRefusedError as refusal:
        if refusal.status not in _NOT_UNDERSTOOD or isinstance(refusal, ContextTooLongError):
            raise
        _log.info("llm.schema_refused", provider=refusal.provider, status=refusal.status)
    told = Message("system", instruction(schema))
    question = replace(question, answer_schema=None, messages=(told, *question.messages))
    return question, await _read(kind, model, question)


async def _read(kind: type[M], model: ChatModel, request: ChatRequest) -> M | _Invalid:
    """Read the stream to its end; a valid value also counts if the stream breaks off or hangs."""
    answer = JSONAnswer(kind)
    value: M | None = None
    done: Done | None = None
    try:
        async with aclosing(model.stream(request)) as events:
            while (event := await _next(events, None if value is None else _SILENCE_S)) is not None:
                if isinstance(event, TextDelta):
                    value = answer.feed(event.text)
                else:
                    done = event
    except (LLMError, TimeoutError):
        if value is None:
            raise
    if value is not None:
        return value
    if done is None:
        raise MalformedAnswerError(
            f"{model.name} sent a stream without an end", provider=model.name
        )
    return _Invalid(done.response, _errors_of(done.response, answer.finish()))


async def _next(
    events: AsyncGenerator[StreamEvent, None], silence_s: float | None
) -> StreamEvent | None:
    async with asyncio.timeout(silence_s):
        return await anext(events, None)


def _errors_of(response: LLMResponse, found: Sequence[AnswerError]) -> Sequence[AnswerError]:
    final = _FINAL.get(response.finish_reason)
    return found if final is None else [final]


def _corrected(question: ChatRequest, answer: _Invalid, schema: AnswerSchema) -> ChatRequest:
    """The question, the last answer, and its errors; earlier answers are dropped to limit the size.

    The new request bypasses the cache, which may contain an invalid answer to it. Otherwise both
    invalid answers would come from the cache, and each attempt would fail until one expires.
    """
    said = answer.response.content[:_SHOWN_CHARS]
    answered = (Message("assistant", said),) if said.strip() else ()
    wrong = "".join(f"\n- {error}" for error in answer.errors)
    asked = Message("user", f"Your answer cannot be used:{wrong}\n{instruction(schema)}")
    return replace(question, messages=(*question.messages, *answered, asked), fresh=True)


def _report(kind: type[BaseModel], answer: _Invalid, attempt: int) -> None:
    _log.warning(
        "llm.answer_invalid",
        provider=answer.response.provider,
        model=answer.response.model,
        wanted=kind.__name__,
        attempt=attempt,
        finish_reason=answer.response.finish_reason,
        errors=[{"loc": f.place, "type": f.type, "msg": f.reason} for f in answer.errors],
    )


def _no_valid_answer(kind: type[BaseModel], answer: _Invalid, attempts: int) -> NoValidAnswerError:
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    provider = answer.response.provider
    problems = [str(error) for error in answer.errors]
    return NoValidAnswerError(
        f"{provider} gave no valid {kind.__name__} in {times}: {'; '.join(problems[:3])}",
        attempts=attempts,
        problems=problems,
        provider=provider,
    )
