import asyncio
from pathlib import Path

import pytest

from app.errors import RequestRefusedError
from app.llm.model import Model
from app.llm.types import ChatRequest
from app.testing import FakeChatModel
from evals.answers import Answer, Found, Interview, chat
from evals.cases import Case, Expect
from evals.evaluation import evaluate
from evals.runs import continued
from tests.evals.examples import BEGINNING, Priced, answer, case

CASES = [case(str(number)) for number in range(6)]


def interview_with(model: FakeChatModel) -> Interview:
    return Interview(model, {"chat": chat})


async def test_an_answer_in_the_run_is_not_requested_again(tmp_path: Path) -> None:
    asked: list[str] = []

    async def ask(one: Case, trial: int) -> Answer:
        asked.append(one.id)
        return answer(one, trial=trial)

    told: list[str] = []
    with continued(tmp_path / "run.jsonl", BEGINNING) as run:
        run.add(answer(CASES[1]))
        run.add(answer(CASES[4]))
        results = await evaluate(
            CASES, run, ask, repeat=1, concurrency=2, done=lambda each: told.append(each.id)
        )
    assert asked == ["0", "2", "3", "5"]
    assert sorted(told) == sorted(asked)
    assert [result.case.id for result in results] == [each.id for each in CASES]


async def test_each_case_is_asked_as_often_as_wanted(tmp_path: Path) -> None:
    model = Priced("yes", "no", "yes", "no", "yes", "yes")
    with continued(tmp_path / "run.jsonl", BEGINNING) as run:
        results = await evaluate(
            CASES[:2],
            run,
            interview_with(model).answer,
            repeat=3,
            concurrency=1,
            done=lambda _: None,
        )
    assert [(each.case.id, each.answer.trial, each.passed) for each in results] == [
        *[("0", 1, True), ("0", 2, True), ("0", 3, True)],
        *[("1", 1, False), ("1", 2, False), ("1", 3, True)],
    ]
    assert sum(each.answer.cost_usd or 0 for each in results) == pytest.approx(0.06)


async def test_no_more_questions_than_the_bound_are_asked_at_a_time(tmp_path: Path) -> None:
    now: list[int] = [0]
    most: list[int] = [0]

    async def ask(one: Case, trial: int) -> Answer:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0)
        now[0] -= 1
        return answer(one, trial=trial)

    with continued(tmp_path / "run.jsonl", BEGINNING) as run:
        await evaluate(CASES, run, ask, repeat=4, concurrency=3, done=lambda _: None)
    assert most == [3]


async def test_old_answers_are_judged_by_new_expectations(tmp_path: Path) -> None:
    with continued(tmp_path / "run.jsonl", BEGINNING) as run:
        run.add(answer(CASES[0]))
        stricter = case("0", expect=Expect(exact="Yes, sir."))
        interview = interview_with(FakeChatModel())
        (result,) = await evaluate(
            [stricter], run, interview.answer, repeat=1, concurrency=1, done=lambda _: None
        )
    assert result.answer == answer(CASES[0])
    assert not result.passed


async def test_a_refused_question_costs_nothing() -> None:
    given = await interview_with(FakeChatModel(RequestRefusedError("too long"))).answer(case())
    assert (given.error, given.paid, given.cost_usd) == (
        "RequestRefusedError: too long",
        False,
        None,
    )


async def test_a_model_is_asked_for_the_json_that_is_expected() -> None:
    model = FakeChatModel('{"city": "Rome"}')
    expect = Expect(json_schema={"type": "object", "required": ["city"]})
    await interview_with(model).answer(case(expect=expect))
    (request,) = model.requests
    assert request.answer_schema is not None
    assert request.answer_schema.schema == expect.json_schema


async def test_a_way_that_calls_another_model_reports_its_response() -> None:
    model = Priced("In a.md.")

    async def ask(one: Case, _model: Model) -> Found:
        response = await model.complete(ChatRequest(messages=()))
        return Found(f"{one.question} {response.content}", ["a.md#x/1"], response)

    asked = case(kind="ask", question="Where?", expect=Expect(documents=["a.md"]))
    given = await Interview(FakeChatModel(), {"ask": ask}).answer(asked)
    assert given.text == "Where? In a.md."
    assert given.contexts == ("a.md#x/1",)
    assert given.cost_usd == pytest.approx(0.01)
