import pytest

from app.errors import NoValidAnswerError
from app.testing import FakeChatModel
from evals.answers import Interview
from evals.cases import Expect
from evals.extract import extract
from tests.evals.examples import Priced, case

INVOICE = (
    '{"number": "7", "seller": "A", "issued_on": null, "due_on": null, "currency": "EUR",'
    ' "items": [{"description": "b", "amount": 2}], "total": %s}'
)


def interview_with(model: FakeChatModel) -> Interview:
    return Interview(model, {"extract": extract})


async def test_the_cost_of_a_case_includes_all_its_calls() -> None:
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
    assert given.error.startswith(NoValidAnswerError.__name__)
    assert given.paid
    assert given.cost_usd == pytest.approx(0.03)
