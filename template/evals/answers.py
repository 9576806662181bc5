"""Asking the service, as its own endpoints do, and what one case's answer was and cost."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from app.api.extract import Invoice, extraction_prompt
from app.errors import LLMError, MalformedAnswer, NoValidAnswer
from app.llm.model import Model
from app.llm.structured import ask_for
from app.llm.types import AnswerSchema, ChatRequest, Done, LLMResponse, Message, StreamEvent
from app.llm.wrappers.wrapper import Wrapper
from evals.cases import Case, Kind

# Not what was wanted, but an answer: asking again would only pay again.
_PAID = (MalformedAnswer, NoValidAnswer)


class Answer(BaseModel):
    """A line of a run. `contexts` are the ids of what was found, best first.

    `error` says why there is no usable text. `paid` is whether the question was answered at all; what
    was not is asked again when the run is continued. `cost_usd` is null when a price is not known.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    fingerprint: str
    text: str = ""
    contexts: tuple[str, ...] = ()
    error: str | None = None
    paid: bool = True
    latency_ms: float
    cost_usd: float | None = None
    tokens: int = 0
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """An answer. From documents, it says which pieces were found, best first, and what the model said.

    `response` is set where the service reports its only call of a model, and `None` where no model
    was asked, or the calls were counted on their way (`Asked`).
    """

    text: str
    contexts: Sequence[str] = ()
    response: LLMResponse | None = None


class AskDocuments(Protocol):
    """How the service answers a question from its documents; may raise an `LLMError`."""

    async def __call__(self, question: str, /) -> Found: ...


class Asked(Wrapper):
    """Keeps the bill of one case, however many calls its answer took."""

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.responses: list[LLMResponse] = []

    async def complete(self, request: ChatRequest) -> LLMResponse:
        response = await super().complete(request)
        self.responses.append(response)
        return response

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        async with aclosing(super().stream(request)) as events:
            async for event in events:
                if isinstance(event, Done):
                    self.responses.append(event.response)
                yield event

    @property
    def cost_usd(self) -> float | None:
        costs = [response.cost_usd for response in self.responses]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if known and len(known) == len(costs) else None


class Interview:
    """Asks one case at a time; any number of them may run side by side."""

    def __init__(self, model: Model, documents: AskDocuments) -> None:
        self._model = model
        self._documents = documents
        self._ways: dict[Kind, Callable[[Case, Model], Awaitable[Found]]] = {
            "chat": _chat,
            "extract": _extract,
            "ask": self._ask,
        }

    async def answer(self, case: Case) -> Answer:
        """Ask, and note what came of it: an `LLMError` is a result as well."""
        asked = Asked(self._model)
        found, error = Found(""), None
        started = time.perf_counter()
        try:
            found = await self._ways[case.kind](case, asked)
            asked.responses += [found.response] if found.response is not None else []
        except LLMError as failure:
            error = failure
        return Answer(
            id=case.id,
            fingerprint=case.fingerprint,
            text=found.text,
            contexts=tuple(found.contexts),
            error=None if error is None else f"{type(error).__name__}: {error.message}",
            paid=error is None or isinstance(error, _PAID),
            latency_ms=round((time.perf_counter() - started) * 1000, 3),
            cost_usd=asked.cost_usd,
            tokens=sum(response.usage.total_tokens for response in asked.responses),
            models=tuple(dict.fromkeys(response.model for response in asked.responses)),
        )

    async def _ask(self, case: Case, _model: Model) -> Found:
        return await self._documents(case.question)


async def _chat(case: Case, model: Model) -> Found:
    schema = case.expect.json_schema
    request = ChatRequest(
        messages=(Message("user", case.question),),
        answer_schema=None if schema is None else AnswerSchema("answer", schema),
    )
    return Found((await model.complete(request)).content)


async def _extract(case: Case, model: Model) -> Found:
    request = ChatRequest(messages=extraction_prompt(case.question))
    invoice = await ask_for(Invoice, model, request)
    return Found(invoice.model_dump_json())
