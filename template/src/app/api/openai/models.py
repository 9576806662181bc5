"""The models of the service by their names in OpenAI's interface."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.errors import UnknownModelError

# The chain of LLM_PROVIDERS, with fallback to the next provider in an outage.
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ProviderModels:
    """The configured models of one provider."""

    provider: str
    model: str
    embedding_model: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """`None`: as the chain decides."""

    provider: str | None = None
    model: str | None = None


class Catalogue:
    """Resolves names of models. The providers are in the order of LLM_PROVIDERS."""

    def __init__(self, providers: Sequence[ProviderModels]) -> None:
        self._providers = {each.provider: each for each in providers}

    def chat_target(self, name: str) -> Target:
        """`auto`, a provider, `provider/model`, a configured model, or a model of the first provider."""
        if name == AUTO:
            return Target()
        if name in self._providers:
            return Target(provider=name)
        provider, slash, model = name.partition("/")
        if slash and model and provider in self._providers:
            return Target(provider, model)
        return Target(provider=self._owner(name), model=name)

    def _owner(self, model: str) -> str | None:
        """The provider with this configured model; `None` for the first provider's own."""
        first = next(iter(self._providers), None)
        owners = (each.provider for each in self._providers.values() if each.model == model)
        owner = next(owners, None)
        return None if owner == first else owner

    def check_embedding(self, name: str) -> None:
        """Raise `UnknownModelError` for a name that is not the one model of embeddings."""
        embedder = next((p for p in self._providers.values() if p.embedding_model), None)
        if embedder is None:
            return  # the call itself raises the error that says so
        model = embedder.embedding_model
        if name not in {AUTO, embedder.provider, model, f"{embedder.provider}/{model}"}:
            raise _unknown(name, f"embeddings are made by {model}")

    def ids(self) -> Iterator[tuple[str, str]]:
        """The names of all configured models with their owners, each once."""
        yield AUTO, "service"
        for each in self._providers.values():
            yield f"{each.provider}/{each.model}", each.provider
            if each.embedding_model is not None and each.embedding_model != each.model:
                yield f"{each.provider}/{each.embedding_model}", each.provider

    def owner_of(self, name: str) -> str:
        """The owner of a configured model, by any of its names."""
        for known, owner in self.ids():
            if name in {known, owner, known.partition("/")[2]} and name:
                return owner
        raise _unknown(name, "GET /openai/v1/models lists the models of this service")


def _unknown(name: str, hint: str) -> UnknownModelError:
    return UnknownModelError(f"The service does not have the model {name!r}: {hint}")
