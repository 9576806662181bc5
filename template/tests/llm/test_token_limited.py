import asyncio
from contextlib import aclosing

import pytest

from app.errors import (
    LimitReachedError,
    OverloadedError,
    ProviderConnectionError,
    ProviderUnavailableError,
    TokenLimitError,
)
from app.llm.costs import NO_PRICES
from app.llm.estimates import Estimator
from app.llm.guards.guard import stacked
from app.llm.guards.instrumented import Billed
from app.llm.model import Model
from app.llm.providers.policy import ProviderPolicy
from app.llm.token_limited import TokenLimited
from app.llm.types import ChatRequest, EmbeddingRequest, Message
from app.testing import FakeChatModel

LIMIT = 1_000
POLICY = ProviderPolicy("http://provider.test", model="fake-1", name="fake")
ESTIMATE = 4 + 2 + 300  # of the request: a message, its eight characters, and `max_tokens`
REQUEST = ChatRequest((Message("user", "Hi there"),), model="fake-1", max_tokens=300)
USED = 8  # of each answer of `FakeChatModel`


class Tokens:
    """A limiter that notes the tokens that are reserved and given back."""

    def __init__(self) -> None:
        self.reserved: list[int] = []
        self.given_back: list[int] = []
        self.cancelled: list[int] = []

    async def acquire(self, tokens: int = 0) -> float:
        self.reserved.append(tokens)
        return 0.0

    async def give_back(self, tokens: int) -> None:
        self.given_back.append(tokens)

    async def cancel(self, tokens: int = 0) -> None:
        self.cancelled.append(tokens)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


def limited(model: FakeChatModel, tokens: Tokens) -> Model:
    guard = TokenLimited(tokens, Estimator(NO_PRICES, [POLICY]), tokens_per_minute=LIMIT)
    return stacked(model, [guard, Billed()])


async def test_a_call_reserves_an_estimate_and_its_usage_replaces_it(tokens: Tokens) -> None:
    await limited(FakeChatModel(), tokens).complete(REQUEST)
    assert tokens.reserved == [ESTIMATE]
    assert tokens.given_back == [ESTIMATE - USED]


async def test_a_stream_gives_back_at_its_end(tokens: Tokens) -> None:
    events = limited(FakeChatModel(["Hello", "!"]), tokens).stream(REQUEST)
    await anext(events)
    assert tokens.given_back == []
    assert [event async for event in events]
    assert tokens.given_back == [ESTIMATE - USED]


async def test_a_stream_that_the_caller_leaves_keeps_the_prompt(tokens: Tokens) -> None:
    async with aclosing(limited(FakeChatModel(["Hello", "!"]), tokens).stream(REQUEST)) as events:
        await anext(events)
    assert tokens.given_back == [300]


async def test_a_cancelled_call_keeps_the_prompt(tokens: Tokens) -> None:
    async def hang() -> None:
        await asyncio.sleep(60)

    call = asyncio.ensure_future(limited(FakeChatModel([hang]), tokens).complete(REQUEST))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert tokens.given_back == [300]


async def test_a_connection_that_breaks_keeps_the_prompt(tokens: Tokens) -> None:
    with pytest.raises(ProviderConnectionError):
        await limited(FakeChatModel(ProviderConnectionError("reset")), tokens).complete(REQUEST)
    assert tokens.given_back == [300]


@pytest.mark.parametrize(
    "error", [ProviderUnavailableError("busy", status=503), LimitReachedError("not sent")]
)
async def test_a_failure_without_cost_gives_everything_back(
    error: Exception, tokens: Tokens
) -> None:
    with pytest.raises(type(error)):
        await limited(FakeChatModel(error), tokens).complete(REQUEST)
    assert tokens.given_back == [ESTIMATE]


async def test_a_call_that_finds_no_connection_gives_back_its_tokens_and_its_turn(
    tokens: Tokens,
) -> None:
    with pytest.raises(OverloadedError):
        await limited(FakeChatModel(OverloadedError("full")), tokens).complete(REQUEST)
    assert tokens.cancelled == [ESTIMATE]
    assert tokens.given_back == []


async def test_texts_to_embed_reserve_their_characters(tokens: Tokens) -> None:
    await limited(FakeChatModel(), tokens).embed(EmbeddingRequest(("text" * 10, "text" * 10)))
    assert tokens.reserved == [22]
    assert tokens.given_back == [20]


async def test_a_request_above_the_whole_limit_is_refused_and_names_the_setting(
    tokens: Tokens,
) -> None:
    model = FakeChatModel()
    large = ChatRequest(REQUEST.messages, model="fake-1", max_tokens=LIMIT)
    with pytest.raises(TokenLimitError, match="RATE_LIMIT_TOKENS_PER_MINUTE") as raised:
        await limited(model, tokens).complete(large)
    assert raised.value.provider == "fake"
    assert raised.value.nothing_sent
    assert tokens.reserved == []
    assert model.requests == []
