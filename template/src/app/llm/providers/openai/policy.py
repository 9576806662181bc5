from dataclasses import dataclass
from typing import Annotated

from pydantic import StringConstraints

from app.llm.providers.policy import ProviderPolicy

DEFAULT_EMBEDDING_MODEL = "text-embedding-3-small"


@dataclass(frozen=True, slots=True)
class OpenAIPolicy(ProviderPolicy):
    """OpenAI has embeddings too, from a model of their own."""

    embedding_model: Annotated[str, StringConstraints(min_length=1)] | None = (
        DEFAULT_EMBEDDING_MODEL
    )
