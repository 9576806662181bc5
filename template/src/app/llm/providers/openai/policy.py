from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import StringConstraints

from app.llm.providers.policy import ProviderPolicy
from app.llm.types import EmbeddingRequest

DEFAULT_EMBEDDING_MODEL = "text-embedding-3-small"


@dataclass(frozen=True, slots=True)
class OpenAIPolicy(ProviderPolicy):
    """OpenAI has embeddings too, from a model of their own."""

    embedding_model: Annotated[str, StringConstraints(min_length=1)] = DEFAULT_EMBEDDING_MODEL

    @property
    def models(self) -> frozenset[str]:
        return frozenset({self.model, self.embedding_model})

    def applied_to_embedding(self, request: EmbeddingRequest) -> EmbeddingRequest:
        return replace(request, model=request.model or self.embedding_model)
