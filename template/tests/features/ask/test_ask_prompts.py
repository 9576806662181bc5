"""The prompts of questions about documents, as the models get them."""

import pytest
from syrupy.assertion import SnapshotAssertion

from app.llm.prompts import Prompt
from app.rag.chunks import Chunk
from app.rag.prompt import ASK, ASK_WITH_SEARCH, rag_prompt
from app.rag.types import ScoredChunk
from tests.features.snapshots import ACCEPT, written

FOUND = [ScoredChunk(Chunk("limits.md/1", "Ten questions a day."), 0.9)]


@pytest.mark.parametrize("prompt", [ASK, ASK_WITH_SEARCH], ids=["alone", "with search"])
def test_the_prompt_of_a_question(prompt: Prompt, snapshot: SnapshotAssertion) -> None:
    built = rag_prompt("How many?", FOUND, min_score=0, max_chars=1000, prompt=prompt)
    assert built is not None
    assert written(built.request.messages) == snapshot, ACCEPT
