"""Ask the questions that a run still lacks, a few at a time."""

from collections.abc import Awaitable, Callable, Sequence

from app.errors import LLMError
from app.resilience.concurrency import gather_bounded
from evals.answers import Answer
from evals.cases import Case
from evals.runs import Run, Trial
from evals.scores import Result, score


async def evaluate(
    cases: Sequence[Case],
    run: Run,
    answer: Callable[[Case, int], Awaitable[Answer]],
    *,
    repeat: int,
    concurrency: int,
    done: Callable[[Answer], object],
) -> list[Result]:
    """The results of all cases in their order, with the answers that the run had already.

    Each case is asked until it has `repeat` trials; `answer` gets a case and the number of the trial.

    `done` hears of each answer once it is safe on disk. When the process dies, only the questions
    that were just being asked, at most `concurrency`, are asked once more by the next one.
    """

    async def ask(trial: Trial) -> None:
        given = await answer(trial.case, trial.number)
        run.add(given)
        done(given)

    await gather_bounded(run.missing(cases, repeat), ask, limit=concurrency, catch=LLMError)
    return results(cases, run)


def results(cases: Sequence[Case], run: Run) -> list[Result]:
    """Score stored answers again: expectations may change, answers stay valid. One result per trial."""
    known = run.known(cases)
    return [score(case, answer) for case in cases for answer in known[case.id]]
