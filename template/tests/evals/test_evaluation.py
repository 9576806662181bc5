from pathlib import Path

import pytest

from app.errors import NoValidAnswer, RequestRefused
from app.llm.types import ChatRequest, LLMResponse
from app.testing import FakeChatModel
from evals.answers import Answer, Found, Interview
from evals.cases import Case, Expect
from evals.evaluation import evaluate
from evals.runs import continued
from tests.evals.examples import BEGINNING, answer, case

CASES = [case(str(number)) for number in range(6)]
INVOICE = (
    '{"number": "7", "seller": "A", "issued_on": null, "due_on": null, "currency": "EUR",'
    ' "items": [{"description": "b", "amount": 2}], "total": %s}'
)


class Priced(FakeChatModel):
    """Each answer costs a cent."""

    def response(self, content: str) -> LLMResponse:
        return super().response(content).model_copy(update={"cost_usd": 0.01})


async def no_documents(question: str) -> Found:
    raise AssertionError(question)


def interview_with(model: FakeChatModel) -> Interview:
    return Interview(model, no_documents)


async def test_what_a_run_has_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    async def ask(one: Case) -> Answer:
        asked.append(one.id)
        return answer(one)

    told: list[str] = []
    with continued(tmp_path / "run.jsonl", BEGINNING) as run:
        run.add(answer(CASES[1]))
        run.add(answer(CASES[4]))
        results = await evaluate(
            CASES, run, ask, concurrency=2, done=lambda each: told.append(each.id)
        )
    assert asked == ["0", "2", "3", "5"]
    assert sorted(told) == sorted(asked)
    assert [result.case.id for result in results] == [each.id for each in CASES]


async def test_old_answers_are_judged_by_new_expectations(tmp_path: Path) -> None:
    with continued(tmp_path / "run.jsonl", BEGINNING) as run:
        run.add(answer(CASES[0]))
        stricter = case("0", expect=Expect(exact="Yes, sir."))
        interview = interview_with(FakeChatModel())
        (result,) = await evaluate(
            [stricter], run, interview.answer, concurrency=1, done=lambda _: None
        )
    assert result.answer == answer(CASES[0])
    assert not result.passed


async def test_every_call_of_a_case_is_on_its_bill() -> None:
    model = Priced(INVOICE % 3, INVOICE % 2)  # the first does not add up
    given = await interview_with(model).answer(
        case(kind="extract", expect=Expect(fields={"total": 2}))
    )
    assert given.error is None
    assert (given.cost_usd, given.tokens, given.models) == (0.02, 16, ("fake-1",))


async def test_an_answer_that_is_never_valid_was_paid_for() -> None:
    given = await interview_with(Priced("no")).answer(
        case(kind="extract", expect=Expect(fields={"total": 2}))
    )
    assert given.error is not None
    assert given.error.startswith(NoValidAnswer.__name__)
    assert given.paid
    assert given.cost_usd == pytest.approx(0.03)


async def test_a_question_that_is_refused_was_not() -> None:
    given = await interview_with(FakeChatModel(RequestRefused("too long"))).answer(case())
    assert (given.error, given.paid, given.cost_usd) == ("RequestRefused: too long", False, None)


async def test_a_model_is_asked_for_the_json_that_is_expected() -> None:
    model = FakeChatModel('{"city": "Rome"}')
    expect = Expect(json_schema={"type": "object", "required": ["city"]})
    await interview_with(model).answer(case(expect=expect))
    (request,) = model.requests
    assert request.answer_schema is not None
    assert request.answer_schema.schema == expect.json_schema


async def test_documents_are_asked_as_the_service_does() -> None:
    model = Priced("In a.md.")

    async def ask(question: str) -> Found:
        response = await model.complete(ChatRequest(messages=()))
        return Found(f"{question} {response.content}", ["a.md#x/1"], response)

    asked = case(kind="ask", question="Where?", expect=Expect(documents=["a.md"]))
    given = await Interview(FakeChatModel(), ask).answer(asked)
    assert given.text == "Where? In a.md."
    assert given.contexts == ("a.md#x/1",)
    assert given.cost_usd == pytest.approx(0.01)
