"""The account of one request: calls that end late, and calls that fail."""

import asyncio

import pytest

from app.clients.account import Account, Accounts, current_account
from app.clients.ledger import LocalLedger, Use
from app.clients.policy import ClientLimits
from app.errors import ClientLimitError, ProviderUnavailableError
from app.llm.estimates import Estimator
from app.llm.guards.guard import stacked
from app.llm.price_files import current_prices
from app.llm.providers.policy import ProviderPolicy
from app.llm.spending import Reserved
from app.llm.types import ChatRequest, Message
from app.testing import FakeChatModel

LIMITS = ClientLimits(tokens_per_minute=1_000)
REQUEST = ChatRequest((Message("user", "Hi"),), model="fake-1", max_tokens=600)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(
        LocalLedger(clock=lambda: 1e9), defaults=LIMITS, clients={}, estimate=lambda _: Use(600)
    )


async def opened(accounts: Accounts) -> Account:
    return await accounts.open("acme", 0)


async def test_a_call_that_ends_after_its_request_is_charged(accounts: Accounts) -> None:
    account = await opened(accounts)
    await account.settle()
    account.charge(Use(1_000))
    await asyncio.sleep(0)
    with pytest.raises(ClientLimitError):
        await opened(accounts)


async def test_the_estimate_of_a_failed_call_does_not_stay(accounts: Accounts) -> None:
    estimator = Estimator(
        current_prices(), [ProviderPolicy("http://x", model="fake-1", name="fake")]
    )
    model = stacked(FakeChatModel(*[ProviderUnavailableError("busy")] * 3), [Reserved(estimator)])
    account = await opened(accounts)
    token = current_account.set(account)
    for _ in range(3):
        with pytest.raises(ProviderUnavailableError):
            await model.complete(REQUEST)
    current_account.reset(token)
    assert account.begin(Use(600))
