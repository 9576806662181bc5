"""A run as a log of Inspect (`inspect-ai`): `inspect view`, or `inspect_ai.log.read_eval_log(FILE)`.

The format is version 2 of Inspect's JSON logs; inspect-ai 0.3.285 reads it. A trial is what Inspect calls an epoch.
"""

from datetime import datetime

from pydantic import JsonValue

from evals.cases import Case
from evals.outcome import Outcome
from evals.reliability import common_trials, pass_hat
from evals.scores import Result
from evals.tables import SCORES

_PASSED = "passed"


def eval_log(outcome: Outcome, ended: datetime) -> dict[str, JsonValue]:
    """`ended`: when the run got its last answer."""
    conditions = outcome.run.beginning.conditions
    counted = outcome.tallies
    ids: list[JsonValue] = [tally.case.id for tally in counted]
    chain: list[JsonValue] = [*conditions.asked_of]
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "run_id": outcome.run.name,
            "eval_id": outcome.run.name,
            "task_id": outcome.run.name,
            "task": conditions.data_set,
            "created": ended.isoformat(),
            "model": conditions.asked_of[0],
            "dataset": {"name": conditions.data_set, "samples": len(ids), "sample_ids": ids},
            "config": {"epochs": max(tally.trials for tally in counted)},
            "metadata": {"asked_of": chain, "mock": conditions.mock},
        },
        "results": _results(outcome),
        "stats": {"completed_at": ended.isoformat()},
        "samples": [_sample(result) for result in outcome.results],
    }


def _results(outcome: Outcome) -> JsonValue:
    counted = outcome.tallies
    k = common_trials(counted)
    rates = {"accuracy": outcome.pass_rate}
    if k > 1:
        rates[f"pass^{k}"] = pass_hat(counted, k)
    scores: list[JsonValue] = [_score(_PASSED, rates)]
    for name in SCORES:
        values = [one.scores[name] for one in outcome.results if name in one.scores]
        scores += [_score(name, {"mean": sum(values) / len(values)})] if values else []
    return {
        "total_samples": len(outcome.results),
        "completed_samples": sum(result.answer.paid for result in outcome.results),
        "scores": scores,
    }


def _score(name: str, metrics: dict[str, float]) -> JsonValue:
    return {
        "name": name,
        "scorer": name,
        "metrics": {key: {"name": key, "value": value} for key, value in metrics.items()},
    }


def _sample(result: Result) -> JsonValue:
    case, answer = result.case, result.answer
    model = ", ".join(answer.models)
    usage: JsonValue = {"total_tokens": answer.tokens, "total_cost": answer.cost_usd}
    reply: dict[str, JsonValue] = {"role": "assistant", "content": answer.text}
    tags: list[JsonValue] = [*case.tags]
    contexts: list[JsonValue] = [*answer.contexts]
    failure: JsonValue = None
    if not answer.paid:
        failure = {"message": answer.error, "traceback": "", "traceback_ansi": ""}
    return {
        "id": case.id,
        "epoch": answer.trial,
        "input": case.question,
        "target": _target(case),
        "messages": [{"role": "user", "content": case.question}, reply],
        "output": {
            "model": model,
            "choices": [{"message": reply, "stop_reason": "stop"}],
            "usage": usage,
            "error": answer.error,
        },
        "scores": _scores(result),
        "metadata": {"kind": case.kind, "tags": tags, "contexts": contexts},
        "model_usage": {model: usage} if model else {},
        "total_time": answer.latency_ms / 1000,
        "error": failure,
    }


def _target(case: Case) -> JsonValue:
    """Texts where texts are expected, and otherwise the whole expectation as JSON."""
    if case.expect.contains is not None:
        return [*case.expect.contains]
    return case.expect.exact or case.expect.model_dump_json(exclude_none=True)


def _scores(result: Result) -> JsonValue:
    passed: dict[str, JsonValue] = {
        "value": "C" if result.passed else "I",  # Inspect's "correct" and "incorrect"
        "answer": result.answer.text,
        "explanation": result.answer.error,
    }
    return {_PASSED: passed, **{name: {"value": value} for name, value in result.scores.items()}}
