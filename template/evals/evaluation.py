"""Ask what is still missing in a run, a few questions at a time."""

from collections.abc import Awaitable, Callable, Sequence

from app.errors import LLMError
from app.resilience.concurrency import run_all
from evals.answers import Answer
from evals.cases import Case
from evals.runs import Run
from evals.scores import Result, score


async def evaluate(
    cases: Sequence[Case],
    run: Run,
    answer: Callable[[Case], Awaitable[Answer]],
    *,
    concurrency: int,
    done: Callable[[Answer], object],
) -> list[Result]:
    """The results of all cases in their order, with the answers that the run had already.

    `done` hears of each answer once it is safe on disk. When the process dies, only the questions
    that were just being asked, at most `concurrency`, are asked once more by the next one.
    """

    async def ask(case: Case) -> None:
        given = await answer(case)
        run.add(given)
        done(given)

    await run_all(run.missing(cases), ask, limit=concurrency, catch=LLMError)
    return results(cases, run)


def results(cases: Sequence[Case], run: Run) -> list[Result]:
    """Judge anew what was paid for before: expectations may change, answers stay good."""
    known = run.known(cases)
    return [score(case, known[case.id]) for case in cases if case.id in known]
