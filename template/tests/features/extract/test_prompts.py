"""The prompts as the models get them. A change is seen in full, and accepted on purpose."""

from syrupy.assertion import SnapshotAssertion

from app.errors import RequestRefusedError
from app.features.extract.invoice import PROMPT, Invoice
from app.llm.prompts import render
from app.llm.structured.ask import ask_for
from app.testing import FakeChatModel
from tests.features.snapshots import ACCEPT, written

TEXT = "Invoice 7, Nut & Bolt Ltd. 100 bolts: 12 EUR."
WRONG = """{"number": "7", "seller": "Nut & Bolt Ltd", "currency": "EUR", "total": "13",
 "items": [{"description": "100 bolts", "amount": "12"}]}"""
RIGHT = WRONG.replace("13", "12")


async def last_prompt(*turns: str | Exception) -> str:
    model = FakeChatModel(*turns)
    await ask_for(Invoice, model, render(PROMPT, text=TEXT))
    return written(model.requests[-1].messages)


def test_the_prompt_of_an_extraction(snapshot: SnapshotAssertion) -> None:
    assert written(render(PROMPT, text=TEXT).messages) == snapshot, ACCEPT


async def test_the_prompt_for_a_provider_without_json_schemas(snapshot: SnapshotAssertion) -> None:
    refusal = RequestRefusedError("no schemas here", status=400)
    assert await last_prompt(refusal, RIGHT) == snapshot, ACCEPT


async def test_the_prompt_after_an_invalid_answer(snapshot: SnapshotAssertion) -> None:
    assert await last_prompt(WRONG, RIGHT) == snapshot, ACCEPT
