"""A run as a results file of promptfoo: `promptfoo import FILE`, then `promptfoo view`.

The format is version 3 of promptfoo's own `--output results.json`; promptfoo 0.120.25 imports it. Each trial is
a test with a number of its own, as `promptfoo eval --repeat` counts them. promptfoo cannot check `fields` and
`documents`: they are results without an assertion.
"""

from datetime import datetime

from pydantic import JsonValue

from evals.cases import Case
from evals.outcome import Outcome
from evals.scores import Result

_NO_FAILURE, _ASSERTION_FAILED, _ERROR = 0, 1, 2  # promptfoo's `ResultFailureReason`
_TEMPLATE = "{{question}}"


def results_file(outcome: Outcome, ended: datetime) -> dict[str, JsonValue]:
    """`ended`: when the run got its last answer."""
    run = outcome.run
    conditions = run.beginning.conditions
    provider = conditions.asked_of[0]
    prompt: dict[str, JsonValue] = {"raw": _TEMPLATE, "label": _TEMPLATE, "provider": provider}
    tests: list[JsonValue] = [_test(tally.case) for tally in outcome.tallies]
    return {
        "evalId": f"eval-{run.name}",
        "results": {
            "version": 3,
            "timestamp": ended.isoformat(),
            "prompts": [{**prompt, "metrics": _metrics(outcome)}],
            "results": [
                _result(result, number, provider) for number, result in enumerate(outcome.results)
            ],
            "stats": _stats(outcome),
        },
        "config": {
            "description": f"{conditions.data_set}, {run.name}",
            "prompts": [_TEMPLATE],
            "providers": [provider],
            "tests": tests,
        },
        "metadata": {"evaluationCreatedAt": ended.isoformat()},
        "shareableUrl": None,
    }


def _test(case: Case) -> dict[str, JsonValue]:
    tags: list[JsonValue] = [*case.tags]
    return {
        "description": case.id,
        "vars": {"question": case.question},
        "assert": _assertions(case),
        "metadata": {"kind": case.kind, "tags": tags},
    }


def _assertions(case: Case) -> list[JsonValue]:
    expect = case.expect
    listed: list[JsonValue] = [{"type": "icontains", "value": it} for it in expect.contains or []]
    if expect.exact is not None:
        listed.append({"type": "equals", "value": expect.exact})
    if expect.json_schema is not None:
        listed.append({"type": "is-json", "value": expect.json_schema})
    return listed


def _result(result: Result, number: int, provider: str) -> JsonValue:
    answer = result.answer
    test = _test(result.case)
    score = sum(result.scores.values()) / len(result.scores)
    scores: dict[str, JsonValue] = {**result.scores}
    reason = answer.error or (
        "All expectations hold" if result.passed else "Failed: see the scores"
    )
    return {
        "testIdx": number,
        "promptIdx": 0,
        "testCase": test,
        "vars": test["vars"],
        "prompt": {"raw": result.case.question, "label": _TEMPLATE},
        "provider": {"id": provider, "label": ", ".join(answer.models)},
        "response": {
            "output": answer.text,
            "cached": False,
            "tokenUsage": {"total": answer.tokens},
        },
        "error": None if result.passed else reason,
        "success": result.passed,
        "failureReason": _failure(result),
        "score": score,
        "namedScores": scores,
        "gradingResult": {
            "pass": result.passed,
            "score": score,
            "reason": reason,
            "namedScores": scores,
            "componentResults": [
                {"pass": value == 1, "score": value, "reason": f"{name} {value:.2f}"}
                for name, value in result.scores.items()
            ],
        },
        "latencyMs": answer.latency_ms,
        "cost": answer.cost_usd,
        "metadata": {"case": answer.id, "trial": answer.trial, "contexts": [*answer.contexts]},
    }


def _failure(result: Result) -> int:
    if result.answer.error is not None:
        return _ERROR
    return _NO_FAILURE if result.passed else _ASSERTION_FAILED


def _stats(outcome: Outcome) -> JsonValue:
    reasons = [_failure(result) for result in outcome.results]
    return {
        "successes": reasons.count(_NO_FAILURE),
        "failures": reasons.count(_ASSERTION_FAILED),
        "errors": reasons.count(_ERROR),
        "tokenUsage": {"total": sum(result.answer.tokens for result in outcome.results)},
    }


def _metrics(outcome: Outcome) -> JsonValue:
    reasons = [_failure(result) for result in outcome.results]
    answers = [result.answer for result in outcome.results]
    return {
        "score": sum(result.passed for result in outcome.results),
        "testPassCount": reasons.count(_NO_FAILURE),
        "testFailCount": reasons.count(_ASSERTION_FAILED),
        "testErrorCount": reasons.count(_ERROR),
        "assertPassCount": sum(
            v == 1 for result in outcome.results for v in result.scores.values()
        ),
        "assertFailCount": sum(
            v != 1 for result in outcome.results for v in result.scores.values()
        ),
        "totalLatencyMs": sum(answer.latency_ms for answer in answers),
        "tokenUsage": {"total": sum(answer.tokens for answer in answers)},
        "namedScores": {},
        "cost": sum(answer.cost_usd or 0.0 for answer in answers),
    }
