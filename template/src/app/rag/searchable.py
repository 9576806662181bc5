"""The contract of a search, which each store of vectors keeps: see `tests/rag/contract`."""

from collections.abc import Mapping
from typing import Protocol

from app.backend import Check
from app.rag.types import ScoredChunk


class Searchable(Protocol):
    """The documents of a folder, searched by meaning. Answering uses nothing else.

    Each store keeps these promises; a process is one `Searchable`.

    - Nearest: the chunks have the largest cosines with the question, best first. The search is
      exact, or at least 95% of its chunks are those of an exact one. A score is the cosine, with an
      error of at most 0.01.
    - Spaces: vectors are stored for an embedding model, its provider's address, and their dimension.
      A question is compared with vectors of its own space only.
    - Names: two services with different prefixes (or files) never see each other's documents.
    - Changes: a search that runs while the documents are indexed again finds those of before or
      those of afterwards. A removed document is not found after the indexing that misses it.
    - Costs: a text is embedded again only if it or the model has changed. Indexing the same
      documents twice changes nothing, and an indexing that ended in the middle is continued.
    - Processes: a process that starts finds the vectors that an earlier one has stored. Of the
      processes that share a store, one builds the index at a time; if it dies, another one
      continues.
    - Failures: if the store or the provider fails, a search raises an `LLMError`, and `is_ready` is
      false. The next search tries again.
    """

    @property
    def checks(self) -> Mapping[str, Check]:
        """What `/readyz` asks of the store, by name, beside `is_ready`."""
        ...

    async def is_ready(self) -> bool:
        """Whether questions can be answered, as far as known; a check of `/readyz`."""
        ...

    async def search(self, question: str, k: int) -> list[ScoredChunk]:
        """The k chunks nearest to a question; fewer if there are fewer, none without documents.

        Raises the errors of embedding, and `DocumentsNotReadyError` while there is no index.
        """
        ...
