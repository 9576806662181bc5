from pathlib import Path

from app.settings import Settings
from evals.answers import Interview
from evals.cases import Expect
from evals.stack import open_stack
from tests.evals.examples import case


async def test_documents_are_asked_as_the_service_does(tmp_path: Path) -> None:
    (tmp_path / "bolts.md").write_text("# Bolts\nWhich bolts fit?")
    documents = {"dir": tmp_path, "min_score": -1}
    async with open_stack(Settings(documents=documents)) as stack:  # type: ignore[arg-type]
        asked = case(kind="ask", question="Which bolts fit?", expect=Expect(documents=["bolts.md"]))
        given = await Interview(stack.model, stack.ways).answer(asked)
    assert given.error is None
    assert given.contexts == ("bolts.md#bolts/1",)
    assert given.tokens > 0
