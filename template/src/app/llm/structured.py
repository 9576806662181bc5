"""Ask a model for an instance of a Pydantic model, and get one.

The schema goes out in the provider's own JSON mode. A provider that refuses it (an older model, a
compatible server) is asked once more, with the schema in the prompt. Whatever comes back is read as
it arrives: the first value that validates is used, and what the model says behind it is not waited
for.
"""

import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

import structlog
from pydantic import BaseModel

from app.errors import MalformedAnswer, NoValidAnswer, RequestRefused
from app.llm.json_answer import Flaw, JSONAnswer
from app.llm.model import ChatModel
from app.llm.providers.streamed import drain
from app.llm.strict_schema import answer_schema
from app.llm.types import AnswerSchema, ChatRequest, FinishReason, LLMResponse, Message, TextDelta

_log = structlog.get_logger(__name__)

M = TypeVar("M", bound=BaseModel)

DEFAULT_ATTEMPTS = 3
_SHOWN_CHARS = 20_000  # of an invalid answer, when the model is told what is wrong with it
# A call that is seen to end is counted and cached. The last tokens are followed by their count at
# once; a model that still has something to say does not end so soon.
_DRAIN_S = 0.5
_NOT_UNDERSTOOD = {400, 422}

# Where asking again would only cost the same once more.
_FINAL: dict[FinishReason, Flaw] = {
    "length": Flaw("cut_off", "the answer was cut off; max_tokens may be too small for it"),
    "content_filter": Flaw("content_filter", "the provider's filter stopped the answer"),
    "refusal": Flaw("refusal", "the model refused to answer"),
}


@dataclass(frozen=True, slots=True)
class _Invalid:
    response: LLMResponse
    flaws: Sequence[Flaw]

    @property
    def final(self) -> bool:
        return self.response.finish_reason in _FINAL


async def ask_for(
    kind: type[M], model: ChatModel, request: ChatRequest, *, attempts: int = DEFAULT_ATTEMPTS
) -> M:
    """Ask until an answer validates, and tell the model each time what was wrong with the last.

    Raises `NoValidAnswer` after `attempts`, or at once when the model refuses, is filtered or is cut
    off; and whatever the model raises. The reasons that your validators give are shown to the model,
    to the caller and in the log, so they should not quote the answer.
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
    """Find the form of the question that the provider understands, and the answer to it."""
    try:
        return question, await _read(kind, model, question)
    except RequestRefused as refusal:
        if refusal.status not in _NOT_UNDERSTOOD:
            raise
        _log.info("llm.schema_refused", provider=refusal.provider, status=refusal.status)
    instruction = Message("system", _instruction(schema))
    question = replace(question, answer_schema=None, messages=(instruction, *question.messages))
    return question, await _read(kind, model, question)


async def _read(kind: type[M], model: ChatModel, request: ChatRequest) -> M | _Invalid:
    answer = JSONAnswer(kind)
    async with aclosing(model.stream(request)) as events:
        async for event in events:
            if not isinstance(event, TextDelta):
                return _Invalid(event.response, _flaws(event.response, answer.finish()))
            value = answer.feed(event.text)
            if value is not None:
                await drain(events, _DRAIN_S)
                return value
    raise MalformedAnswer(f"{model.name} sent a stream without an end", provider=model.name)


def _flaws(response: LLMResponse, found: Sequence[Flaw]) -> Sequence[Flaw]:
    final = _FINAL.get(response.finish_reason)
    return found if final is None else [final]


def _corrected(question: ChatRequest, answer: _Invalid, schema: AnswerSchema) -> ChatRequest:
    """The question, the last answer, and what is wrong with it: it grows no further than that.

    Not from the cache, which may know the answer to the question: an invalid one. Together they
    would fail again and again, until one of them is forgotten.
    """
    said = answer.response.content[:_SHOWN_CHARS]
    answered = (Message("assistant", said),) if said.strip() else ()
    wrong = "".join(f"\n- {flaw}" for flaw in answer.flaws)
    asked = Message("user", f"Your answer cannot be used:{wrong}\n{_instruction(schema)}")
    return replace(question, messages=(*question.messages, *answered, asked), fresh=True)


def _instruction(schema: AnswerSchema) -> str:
    return (
        "Answer with one JSON value that follows this JSON schema, and with nothing else:\n"
        + json.dumps(schema.schema)
    )


def _report(kind: type[BaseModel], answer: _Invalid, attempt: int) -> None:
    _log.warning(
        "llm.answer_invalid",
        provider=answer.response.provider,
        model=answer.response.model,
        wanted=kind.__name__,
        attempt=attempt,
        finish_reason=answer.response.finish_reason,
        errors=[{"loc": f.place, "type": f.type, "msg": f.reason} for f in answer.flaws],
    )


def _no_valid_answer(kind: type[BaseModel], answer: _Invalid, attempts: int) -> NoValidAnswer:
    times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    provider = answer.response.provider
    problems = [str(flaw) for flaw in answer.flaws]
    return NoValidAnswer(
        f"{provider} gave no valid {kind.__name__} in {times}: {'; '.join(problems[:3])}",
        attempts=attempts,
        problems=problems,
        provider=provider,
    )
