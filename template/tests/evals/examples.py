"""Cases, answers and runs with defaults; a test sets only the fields it is about."""

from collections.abc import Sequence
from pathlib import Path

from app.llm.types import LLMResponse
from app.testing import FakeChatModel
from evals.answers import Answer
from evals.cases import Case, Expect, Kind
from evals.runs import Beginning, Conditions, Run
from evals.scores import Result, score

BEGINNING = Beginning(
    conditions=Conditions(data_set="some.jsonl", asked_of=("openai/gpt-5-mini",), mock=True),
    cases=3,
)


def case(
    name: str = "one",
    *,
    kind: Kind = "chat",
    question: str = "Which one?",
    tags: Sequence[str] = (),
    expect: Expect | None = None,
) -> Case:
    return Case(
        id=name,
        kind=kind,
        question=question,
        tags=[*tags],
        expect=expect or Expect(contains=["yes"]),
    )


def answer(
    to: Case,
    text: str = "yes",
    *,
    trial: int = 1,
    contexts: Sequence[str] = (),
    latency_ms: float = 10.0,
) -> Answer:
    return Answer(
        id=to.id,
        fingerprint=to.fingerprint,
        trial=trial,
        text=text,
        contexts=tuple(contexts),
        latency_ms=latency_ms,
        cost_usd=0.001,
        tokens=8,
    )


def failure(to: Case, *, paid: bool) -> Answer:
    return answer(to, "").model_copy(
        update={"error": "ProviderTimeoutError: too slow", "paid": paid}
    )


def results(signs: str) -> list[Result]:
    """One for each sign, `+` passed and `-` not, with the ids 0, 1, 2 and so on."""
    return repeated_results(*signs)


def repeated_results(*trials: str) -> list[Result]:
    """Of cases with the ids 0, 1, 2 and so on: a text each, with a sign for each trial."""
    cases = [(case(str(number)), signs) for number, signs in enumerate(trials)]
    return [
        score(one, answer(one, "yes" if sign == "+" else "no", trial=trial))
        for one, signs in cases
        for trial, sign in enumerate(signs, start=1)
    ]


def run(path: Path, *answers: Answer) -> Run:
    return Run(path, BEGINNING, {(each.id, each.trial): each for each in answers})


class Priced(FakeChatModel):
    """Each answer costs a cent."""

    def response(self, content: str) -> LLMResponse:
        return super().response(content).model_copy(update={"cost_usd": 0.01})
