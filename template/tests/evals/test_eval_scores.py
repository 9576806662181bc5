from collections.abc import Sequence

import pytest

from evals.cases import Case, Expect
from evals.scores import score
from tests.evals.examples import answer, case, failure

SCHEMA = Expect(json_schema={"type": "object", "required": ["city"]})


@pytest.mark.parametrize(
    ("expect", "text", "scores"),
    [
        pytest.param(Expect(exact="Yes."), " Yes.\n", {"exact": 1}, id="exact"),
        pytest.param(Expect(exact="Yes."), "yes.", {"exact": 0}, id="nearly-exact"),
        pytest.param(Expect(contains=["YES", "no"]), "Yes, no.", {"contains": 1}, id="contains"),
        pytest.param(Expect(contains=["yes", "no"]), "Yes!", {"contains": 0.5}, id="half"),
        pytest.param(SCHEMA, '{"city": "Rome"}', {"json": 1}, id="json"),
        pytest.param(SCHEMA, '```json\n{"city": "Rome"}\n```', {"json": 1}, id="fenced-json"),
        pytest.param(SCHEMA, '{"town": "Rome"}', {"json": 0}, id="other-json"),
        pytest.param(SCHEMA, "Rome", {"json": 0}, id="no-json"),
    ],
)
def test_a_text_has_the_expected_score(expect: Expect, text: str, scores: dict[str, float]) -> None:
    one = case(expect=expect)
    result = score(one, answer(one, text))
    assert result.scores == scores
    assert result.passed is all(value == 1 for value in scores.values())


@pytest.mark.parametrize(
    ("fields", "share"),
    [
        pytest.param({"currency": "EUR", "total": 12}, 1.0, id="amounts-are-equal-as-numbers"),
        pytest.param({"currency": "EUR", "total": 13}, 0.5, id="one-of-two"),
        pytest.param({"number": 7}, 0.0, id="a-number-that-is-none"),
        pytest.param({"seller": "A"}, 0.0, id="a-field-that-is-missing"),
    ],
)
def test_fields_are_compared(fields: dict[str, str | int], share: float) -> None:
    one = case(kind="extract", expect=Expect(fields={**fields}))
    text = '{"currency": "EUR", "total": "12.00", "number": "seven"}'
    assert score(one, answer(one, text)).scores == {"fields": share, "json": 1.0}


def asked(*documents: str) -> Case:
    return case(kind="ask", expect=Expect(documents=[*documents]))


@pytest.mark.parametrize(
    ("documents", "contexts", "scores"),
    [
        pytest.param(["b.md"], ["a.md#x/1", "b.md#y/2"], {"hit": 1, "mrr": 0.5}, id="second"),
        pytest.param(["b.md#y"], ["b.md#y/2"], {"hit": 1, "mrr": 1}, id="a-section"),
        pytest.param(["b.md#y"], ["b.md#yellow/1"], {"hit": 0, "mrr": 0}, id="another-section"),
        pytest.param(
            ["a.md", "b.md"], ["c.md", "c.md", "a.md"], {"hit": 1, "mrr": 1 / 3}, id="3rd"
        ),
        pytest.param([], [], {"hit": 1}, id="nothing-is-there-and-nothing-found"),
        pytest.param([], ["a.md"], {"hit": 0}, id="nothing-is-there-and-something-found"),
    ],
)
def test_found_documents_have_the_expected_score(
    documents: Sequence[str], contexts: Sequence[str], scores: dict[str, float]
) -> None:
    one = asked(*documents)
    result = score(one, answer(one, contexts=contexts))
    assert result.scores == scores
    assert result.passed is bool(scores["hit"])  # at any rank


@pytest.mark.parametrize("paid", [True, False], ids=["paid", "not-answered"])
def test_a_failure_scores_zero_even_without_an_expectation(*, paid: bool) -> None:
    one = asked()
    result = score(one, failure(one, paid=paid))
    assert result.scores == {"hit": 0}
    assert not result.passed
