"""The service that is asked: the one that its settings describe, and nothing answered from a cache."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from httpx2 import ASGITransport

from app.configuration.provider_rules import is_mock
from app.llm.batched import BatchedModel
from app.llm.model import Model
from app.settings import Settings
from app.wiring import open_service
from evals.answers import Way, chat
from evals.ask import asking  # feature: ask
from evals.batch import open_batched_model
from evals.cases import Kind
from evals.extract import extract  # feature: extract
from mock_api.application import create_app as create_mock

_NO_LIMIT = 1_000_000  # requests a minute, of a mock in this process
_PATIENCE_S = 600.0  # an evaluation would rather wait for its turn than lose a case


@dataclass(frozen=True, slots=True)
class Stack:
    """`batched` is the model if it answers by batches."""

    model: Model
    ways: Mapping[Kind, Way]
    batched: BatchedModel | None = None


@asynccontextmanager
async def open_stack(settings: Settings, *, batches_of: Path | None = None) -> AsyncIterator[Stack]:
    """The stack of `app.wiring`. Without any real provider, a mock API in this process is asked.

    The questions of the run `batches_of` go in batches, without the guards of calls.
    """
    limit = replace(settings.rate_limit, max_wait_s=_PATIENCE_S)
    transport = None
    if uses_mock(settings):
        transport = ASGITransport(create_mock())
        limit = replace(limit, requests_per_minute=_NO_LIMIT, tokens_per_minute=None)
    asked = settings.model_copy(update={"enable_caching": False, "rate_limit": limit})
    async with AsyncExitStack() as opened:
        service = await opened.enter_async_context(open_service(asked, transport=transport))
        batched = None
        if batches_of is not None:
            model = open_batched_model(asked, batches_of, transport)
            batched = await opened.enter_async_context(model)
            service = replace(service, chat=batched)
        ways: dict[Kind, Way] = {"chat": chat}
        ways["extract"] = extract  # feature: extract
        ways["ask"] = await opened.enter_async_context(asking(service, asked))  # feature: ask
        yield Stack(service.chat, ways, batched)


def uses_mock(settings: Settings) -> bool:
    return all(is_mock(settings.provider(name).base_url) for name in settings.llm_providers)


def asked_of(settings: Settings, *, batch: bool = False) -> tuple[str, ...]:
    """The chain, as `provider/model`. Batches go to its first provider."""
    chain = settings.llm_providers[:1] if batch else settings.llm_providers
    return tuple(f"{name}/{settings.provider(name).model}" for name in chain)
