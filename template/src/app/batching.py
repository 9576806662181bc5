"""Opens a provider's batches from the settings, as `wiring` opens the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.configuration.confidential import secrets_masked
from app.errors import UnsupportedRequestError
from app.llm.batch_polling import BatchPolicy
from app.llm.batch_store import BatchStore
from app.llm.batches import Batches
from app.llm.http import Transport, open_connections
from app.llm.price_files import current_prices
from app.llm.providers.registry import APIS
from app.settings import Settings


@asynccontextmanager
async def open_batches(
    settings: Settings,
    store: BatchStore,
    *,
    policy: BatchPolicy | None = None,
    transport: Transport | None = None,
) -> AsyncIterator[Batches]:
    """The batches of the first provider of the chain: a batch is not passed on to the next one.

    None of the guards of calls is needed. A batch has rate limits of its own, and fails as a whole.
    """
    provider = settings.provider(settings.llm_providers[0])
    make = APIS[provider.api].batches
    if make is None:
        message = f"{provider.name} has no batches: LLM_PROVIDERS begins with a provider that has"
        raise UnsupportedRequestError(message, provider=provider.name)
    async with (
        secrets_masked(settings),
        open_connections(settings.http, transport) as connections,
    ):
        yield Batches(
            make(provider, connections),
            store,
            policy=policy,
            prices=current_prices(settings.prices_file),
            vendor=provider.vendor,
        )
