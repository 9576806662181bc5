from dataclasses import dataclass, replace
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import AfterValidator, SecretStr, StringConstraints

from app.llm.types import ChatRequest, EmbeddingRequest

# In dev a provider needs no key: the mock API takes any. Production refuses to start without one.
PLACEHOLDER_KEY = "mock"


def vendor(provider: str) -> str:
    """Whose API it is, with whose settings and prices: calling it by an SDK is our affair."""
    return provider.removesuffix("-sdk")


def sendable(key: SecretStr) -> SecretStr:
    """Accept what can travel in a header.

    A key with a line break in it would fail in the middle of a call, with an error that repeats it.
    The final newline of a mounted file is nobody's intention, and is taken off.
    """
    value = key.get_secret_value().strip()
    if not value or not value.isascii() or not value.isprintable():
        raise ValueError("a key consists of printable ASCII characters")
    return SecretStr(value)


@dataclass(frozen=True, slots=True)
class ProviderPolicy:
    """Where a provider is, what it is called with, and which model answers unless asked otherwise."""

    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+\S*$")]
    model: Annotated[str, StringConstraints(min_length=1)]
    api_key: Annotated[SecretStr, AfterValidator(sendable)] | None = None
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    max_tokens: int = 1024

    @property
    def models(self) -> frozenset[str]:
        """Those that are asked unless somebody asks for another: a bounded set, for metrics."""
        return frozenset({self.model})

    @property
    def key(self) -> str:
        return PLACEHOLDER_KEY if self.api_key is None else self.api_key.get_secret_value()

    def applied_to(self, request: ChatRequest) -> ChatRequest:
        """The request with every `None` replaced by what the settings say."""
        return replace(
            request,
            model=request.model or self.model,
            temperature=self.temperature if request.temperature is None else request.temperature,
            max_tokens=self.max_tokens if request.max_tokens is None else request.max_tokens,
        )

    def applied_to_embedding(self, request: EmbeddingRequest) -> EmbeddingRequest:
        """Unchanged: only a provider that has embeddings has a setting for their model."""
        return request
