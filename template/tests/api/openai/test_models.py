import pytest

from app.api.openai.models import Catalogue, ProviderModels, Target
from app.errors import UnknownModelError

CATALOGUE = Catalogue(
    [
        ProviderModels("openai", "gpt-5-mini", "embedding-3"),
        ProviderModels("anthropic", "claude-haiku"),
        ProviderModels("router", "meta/llama"),
    ]
)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("auto", Target()),
        ("anthropic", Target("anthropic")),
        ("openai/gpt-4o", Target("openai", "gpt-4o")),
        ("router/meta/llama", Target("router", "meta/llama")),
        ("meta/llama", Target("router", "meta/llama")),
        ("gpt-5-mini", Target(None, "gpt-5-mini")),
        ("claude-haiku", Target("anthropic", "claude-haiku")),
        ("gpt-4o", Target(None, "gpt-4o")),
        ("openai/", Target(None, "openai/")),
    ],
)
def test_a_name_is_resolved(name: str, target: Target) -> None:
    assert CATALOGUE.chat_target(name) == target


@pytest.mark.parametrize("name", ["auto", "openai", "embedding-3", "openai/embedding-3"])
def test_the_embedding_model_has_these_names(name: str) -> None:
    CATALOGUE.check_embedding(name)


@pytest.mark.parametrize("name", ["gpt-5-mini", "anthropic", "other"])
def test_another_model_has_no_embeddings(name: str) -> None:
    with pytest.raises(UnknownModelError, match="embedding-3"):
        CATALOGUE.check_embedding(name)


def test_every_listed_model_has_its_owner() -> None:
    for name, owner in CATALOGUE.ids():
        assert CATALOGUE.owner_of(name) == owner
    assert CATALOGUE.owner_of("claude-haiku") == "anthropic"
    with pytest.raises(UnknownModelError):
        CATALOGUE.owner_of("")
