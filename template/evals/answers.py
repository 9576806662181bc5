"""Ask the service as its endpoints do, and record the answer and cost of each case."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from app.errors import LLMError, MalformedAnswerError, NoValidAnswerError
from app.llm.guards.guard import Call, Guard, R, T, stacked, watch
from app.llm.model import Model
from app.llm.opened_stream import Answer as Reply
from app.llm.opened_stream import Observer
from app.llm.types import AnswerSchema, ChatRequest, LLMResponse, Message
from evals.cases import Case, Kind

# An unusable answer is still an answer: asking again would pay again.
_PAID = (MalformedAnswerError, NoValidAnswerError)


class Answer(BaseModel):
    """A line of a run. `contexts` are the ids of the chunks found, best first.

    `trial` is which time the case was asked, from 1; runs written before `--repeat` have one trial.
    `error` says why there is no usable text. `paid` is whether the question was answered at all; an
    unanswered question is asked again when the run is continued. `cost_usd` is null when a price is not known.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    fingerprint: str
    trial: int = Field(default=1, ge=1)
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
    """An answer, with the chunks found in the documents (best first) and the model's text.

    `response` is set where the service reports its only call of a model, and `None` where no model
    was asked, or the calls were counted on their way (`Asked`).
    """

    text: str
    contexts: Sequence[str] = ()
    response: LLMResponse | None = None


# How the service answers a case of one kind; may raise an `LLMError`.
Way = Callable[[Case, Model], Awaitable[Found]]


class Asked(Guard, Observer):
    """Keeps the bill of one case, for all the calls that its answer took."""

    def __init__(self) -> None:
        self.responses: list[LLMResponse] = []

    async def around(self, request: R, call: Call[R, T]) -> T:
        return await watch(self, call(request))

    async def finished(self, answer: Reply) -> Reply:
        if isinstance(answer, LLMResponse):
            self.responses.append(answer)
        return answer

    @property
    def cost_usd(self) -> float | None:
        costs = [response.cost_usd for response in self.responses]
        known = [cost for cost in costs if cost is not None]
        return sum(known) if known and len(known) == len(costs) else None


class Interview:
    """Asks one case at a time; any number of them may run side by side."""

    def __init__(self, model: Model, ways: Mapping[Kind, Way]) -> None:
        self._model = model
        self._ways = ways

    async def answer(self, case: Case, trial: int = 1) -> Answer:
        """Ask, and record the answer or the `LLMError`: a failure is a result as well."""
        asked = Asked()
        model = stacked(self._model, [asked])
        found, error = Found(""), None
        started = time.perf_counter()
        try:
            found = await self._ways[case.kind](case, model)
            asked.responses += [found.response] if found.response is not None else []
        except LLMError as failure:
            error = failure
        return Answer(
            id=case.id,
            fingerprint=case.fingerprint,
            trial=trial,
            text=found.text,
            contexts=tuple(found.contexts),
            error=None if error is None else f"{type(error).__name__}: {error.message}",
            paid=error is None or isinstance(error, _PAID),
            latency_ms=round((time.perf_counter() - started) * 1000, 3),
            cost_usd=asked.cost_usd,
            tokens=sum(response.usage.total_tokens for response in asked.responses),
            models=tuple(dict.fromkeys(response.model for response in asked.responses)),
        )


async def chat(case: Case, model: Model) -> Found:
    schema = case.expect.json_schema
    request = ChatRequest(
        messages=(Message("user", case.question),),
        answer_schema=None if schema is None else AnswerSchema("answer", schema),
    )
    return Found((await model.complete(request)).content)
