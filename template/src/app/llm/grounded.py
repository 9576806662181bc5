"""Answers that are made from documents, and say from which pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.errors import RequestRefused, UnsupportedRequest
from app.llm.model import ChatModel
from app.llm.types import ChatRequest, LLMResponse, Message
from app.llm.wrappers.batches import EmbeddingBatches
from app.retrieval.index import Hit
from app.retrieval.indexing import Embed, Embedded
from app.retrieval.policy import DocumentsPolicy
from app.retrieval.prompts import NOT_IN_THE_DOCUMENTS, AskingPrompt, asking_prompt


@dataclass(frozen=True, slots=True)
class GroundedAnswer:
    """`[1]` in the text is the first of the sources. No response: no model had to be asked."""

    text: str
    sources: tuple[Hit, ...] = ()
    response: LLMResponse | None = None


class Searchable(Protocol):
    """What of `app.retrieval.library.Library` is needed here."""

    async def is_ready(self) -> bool: ...

    async def search(self, question: str, k: int) -> list[Hit]: ...


class Grounded:
    """A model that answers from a library, or says that the answer is not there.

    When nothing in the documents is near enough to a question, that is known without a model.
    """

    def __init__(self, model: ChatModel, library: Searchable, policy: DocumentsPolicy) -> None:
        self.library = library
        self._model = model
        self._policy = policy

    async def ask(
        self, question: str, *, top_k: int | None = None, tenant: str | None = None
    ) -> GroundedAnswer:
        """Raise an `LLMError` when the documents cannot be searched, or no model answers."""
        hits = await self.library.search(question, top_k or self._policy.top_k)
        prompt = asking_prompt(
            question,
            hits,
            min_score=self._policy.min_score,
            max_chars=self._policy.context_chars,
        )
        if prompt is None:
            return GroundedAnswer(NOT_IN_THE_DOCUMENTS)
        response = await self._model.complete(ChatRequest(_messages(prompt), tenant=tenant))
        return GroundedAnswer(response.content, prompt.sources, response)


def _messages(prompt: AskingPrompt) -> tuple[Message, ...]:
    return (
        Message("system", prompt.instructions),
        Message("user", prompt.excerpts),
        Message("user", prompt.question),
    )


def embedding_by(batches: EmbeddingBatches) -> Embed:
    """Embed for `app.retrieval`, which knows nothing of models, behind the guards of one."""

    async def embed(texts: Sequence[str]) -> Embedded:
        try:
            batch = await batches.embed(texts)
        except UnsupportedRequest:
            raise
        except RequestRefused as error:  # every single one
            return Embedded("", [error] * len(texts))
        return Embedded(batch.model, batch.items)

    return embed
