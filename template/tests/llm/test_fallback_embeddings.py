"""Which provider embeds, and what a limit means for a chain."""

import pytest

from app.errors import (
    LimitReachedError,
    LLMError,
    ProviderConnectionError,
    UnsupportedRequestError,
)
from app.llm.fallback import Fallback
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, Message
from app.testing import FakeChatModel

TEXTS = EmbeddingRequest(("one", "three"))


class Embedding(FakeChatModel):
    """A model with failing embeddings, or without embeddings."""

    def __init__(self, name: str, error: LLMError | None = None) -> None:
        super().__init__(name=name)
        self.error = error

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        if self.error is not None:
            raise self.error
        return await super().embed(request)


async def test_the_first_provider_that_has_embeddings_makes_them() -> None:
    without = Embedding("a", UnsupportedRequestError("none here"))
    vectors = (await Fallback([without, Embedding("b")]).embed(TEXTS)).vectors
    assert vectors == ((3.0, 1.0), (5.0, 1.0))


async def test_vectors_of_another_model_are_no_substitute() -> None:
    chain = Fallback([Embedding("a", ProviderConnectionError("gone")), Embedding("b")])
    with pytest.raises(ProviderConnectionError):
        await chain.embed(TEXTS)


async def test_without_any_embeddings_the_request_is_refused_with_the_names() -> None:
    none = UnsupportedRequestError("none here")
    with pytest.raises(UnsupportedRequestError, match="configured are: a,b"):
        await Fallback([Embedding("a", none), Embedding("b", none)]).embed(TEXTS)


async def test_the_next_provider_does_not_make_up_for_our_own_limit() -> None:
    second = FakeChatModel(name="b")
    chain = Fallback([FakeChatModel(LimitReachedError("full", retry_after_s=3), name="a"), second])
    with pytest.raises(LimitReachedError) as raised:
        await chain.complete(ChatRequest((Message("user", "Hi"),)))
    assert raised.value.retry_after_s == 3
    assert second.requests == []
