"""The prompts for questions about documents, including the answer if they contain none.

Patterns: retrieval-augmented generation (Lewis et al., 2020) with numbered excerpts, best first.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from app.llm.prompts import Prompt, read_prompt, render
from app.llm.types import ChatRequest
from app.rag.types import ScoredChunk

NOT_IN_THE_DOCUMENTS = "The documents do not answer this question."

_FILES = Path(__file__).with_name("prompts")
_VARIABLES = ("excerpts", "not_in_the_documents", "question")
ASK = read_prompt(_FILES / "ask.toml", *_VARIABLES)
ASK_WITH_SEARCH = read_prompt(_FILES / "ask_with_search.toml", *_VARIABLES)


@dataclass(frozen=True, slots=True)
class RagPrompt:
    """`chunks` are those that the model receives: `[1]` in its answer is the first one."""

    request: ChatRequest
    chunks: tuple[ScoredChunk, ...]


@dataclass(slots=True)
class Excerpts:
    """Numbers the chunks that a model receives, within `chars_left` characters.

    A chunk that does not fit is left out completely, and smaller chunks after it may still fit.

    Each excerpt is one line of JSON, so its text cannot end it, and cannot imitate other excerpts
    or the question.
    """

    min_score: float
    chars_left: int
    chunks: list[ScoredChunk] = field(default_factory=list)

    def add(self, found: Iterable[ScoredChunk]) -> list[str]:
        """Add the relevant chunks, best first. Returns the lines of those that fit."""
        return [line for scored in found if (line := self._line(scored)) is not None]

    def _line(self, scored: ScoredChunk) -> str | None:
        line = _excerpt(len(self.chunks) + 1, scored)
        if scored.score < self.min_score or len(line) >= self.chars_left:
            return None
        self.chunks.append(scored)
        self.chars_left -= len(line) + 1  # including its line end
        return line


def rag_prompt(
    question: str,
    chunks: Iterable[ScoredChunk],
    *,
    min_score: float,
    max_chars: int,
    prompt: Prompt = ASK,
    tenant: str | None = None,
) -> RagPrompt | None:
    """Render the prompt with the relevant chunks, best first, within `max_chars` characters.

    `None` if no chunk is relevant; then the model is not called.
    """
    excerpts = Excerpts(min_score, max_chars)
    lines = excerpts.add(chunks)
    if not lines:
        return None
    request = render(
        prompt,
        tenant=tenant,
        excerpts="\n".join(lines),
        not_in_the_documents=NOT_IN_THE_DOCUMENTS,
        question=question,
    )
    return RagPrompt(request, tuple(excerpts.chunks))


def _excerpt(number: int, scored: ScoredChunk) -> str:
    fields = {"number": number, "source": scored.chunk.id, "text": scored.chunk.text}
    return json.dumps(fields, ensure_ascii=False)
