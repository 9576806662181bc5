"""How good one answer is: numbers from 0 to 1, and whether it passes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import orjson
from jsonschema import Draft202012Validator
from pydantic import JsonValue

from evals.answers import Answer
from evals.cases import Case, Expect

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)

Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """A case, its answer, and the scores of the answer."""

    case: Case
    answer: Answer
    scores: Scores

    @property
    def passed(self) -> bool:
        """Everything expected was there. Of the documents one is enough, at any rank."""
        decisive = [value for name, value in self.scores.items() if name != "mrr"]
        return self.answer.error is None and all(value == 1 for value in decisive)


def score(case: Case, answer: Answer) -> Result:
    """Score an answer against the current expectations; a missing or broken one scores 0."""
    scores = {
        name: value for scorer in _SCORERS for name, value in scorer(case.expect, answer).items()
    }
    if case.kind == "extract":
        scores["json"] = float(answer.error is None)
    if answer.error is not None:
        scores = dict.fromkeys(scores, 0.0)
    return Result(case, answer, scores)


def _exact(expect: Expect, answer: Answer) -> Scores:
    if expect.exact is None:
        return {}
    return {"exact": float(answer.text.strip() == expect.exact.strip())}


def _contains(expect: Expect, answer: Answer) -> Scores:
    """The share of the expected texts."""
    if expect.contains is None:
        return {}
    text = answer.text.casefold()
    return {"contains": _share([wanted.casefold() in text for wanted in expect.contains])}


def _json(expect: Expect, answer: Answer) -> Scores:
    if expect.json_schema is None:
        return {}
    try:
        value = orjson.loads(_FENCED.sub(r"\1", answer.text))
    except orjson.JSONDecodeError:
        return {"json": 0.0}
    return {"json": float(Draft202012Validator(expect.json_schema).is_valid(value))}


def _fields(expect: Expect, answer: Answer) -> Scores:
    """The share of the expected fields."""
    if expect.fields is None:
        return {}
    found = orjson.loads(answer.text or "{}")
    return {
        "fields": _share([_same(wanted, found.get(name)) for name, wanted in expect.fields.items()])
    }


def _retrieval(expect: Expect, answer: Answer) -> Scores:
    """Whether an expected document was found, and the reciprocal of the rank of the first.

    Where nothing is expected there is no rank, and finding nothing is right. The mean of `mrr` over
    the cases is the mean reciprocal rank (Voorhees, TREC-8, 1999).
    """
    if expect.documents is None:
        return {}
    if not expect.documents:
        return {"hit": float(not answer.contexts)}
    rank = _rank(answer.contexts, expect.documents)
    return {"hit": float(rank > 0), "mrr": 1 / rank if rank else 0.0}


_SCORERS: Sequence[Callable[[Expect, Answer], Scores]] = (
    _exact,
    _contains,
    _json,
    _fields,
    _retrieval,
)


def _rank(contexts: Sequence[str], wanted: Sequence[str]) -> int:
    """The position of the first wanted document, from 1; 0 if none of them was found."""
    ranks = (
        rank
        for rank, context in enumerate(contexts, start=1)
        if any(_is_part(context, document) for document in wanted)
    )
    return next(ranks, 0)


def _is_part(context: str, document: str) -> bool:
    """`deploy.md#rolling-updates/2` is part of `deploy.md` and of `deploy.md#rolling-updates`."""
    return context == document or context.startswith((f"{document}#", f"{document}/"))


def _share(kept: Sequence[bool]) -> float:
    return sum(kept) / len(kept)


def _same(wanted: JsonValue, found: JsonValue) -> bool:
    """An amount of money is text in JSON: 12 and 12.0 are the same as "12.00"."""
    if isinstance(wanted, int | float) and not isinstance(wanted, bool) and isinstance(found, str):
        try:
            return Decimal(str(wanted)) == Decimal(found)
        except InvalidOperation:
            return False
    return wanted == found
