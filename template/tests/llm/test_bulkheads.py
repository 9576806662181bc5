"""A provider that hangs uses up its own connections, and none of another provider's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest

from app.llm.http import HTTPPolicy, open_connections
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, Message
from app.settings import Settings
from app.wiring import Service, open_service
from tests.llm.faults import EVENTS, JSON
from tests.llm.loopback import Loopback, Reply, hangs, loopback, sends, whole
from tests.llm.samples import ANTHROPIC, OPENAI, REQUEST, SAMPLES, Sample, ask

CALLERS = 30
# A busy machine: without bulkheads the other provider answers after `timeout_s` of the queue, five seconds.
PROMPT_S = 2.5

pytestmark = pytest.mark.usefixtures("each_transport")


@asynccontextmanager
async def service_with(hanging: Loopback, well: Loopback, **more: object) -> AsyncIterator[Service]:
    settings = Settings(
        openai={"base_url": hanging.base_url},  # type: ignore[arg-type]  # as from the environment
        anthropic={"base_url": well.base_url.removesuffix("/v1")},  # type: ignore[arg-type]
        max_concurrency=10,
        queue={"length": 20},  # type: ignore[arg-type]
        rate_limit={"requests_per_minute": 10_000},  # type: ignore[arg-type]
        health_probe_interval_s=0,
        **more,  # type: ignore[arg-type]
    )
    async with open_service(settings) as service:
        yield service


def asked(provider: str | None, number: int = 0) -> ChatRequest:
    return ChatRequest((Message("user", f"Question {number}"),), provider=provider)


@asynccontextmanager
async def waiting_callers(service: Service, server: Loopback) -> AsyncIterator[None]:
    """Thirty callers of the provider that hangs: ten have a connection, twenty wait for one."""
    calls = [
        asyncio.create_task(service.chat.complete(asked("openai", number)))
        for number in range(CALLERS)
    ]
    try:
        async with asyncio.timeout(5):
            while len(server.requests) < 10:  # noqa: ASYNC110 - on the other side of a socket
                await asyncio.sleep(0.01)
        yield
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_another_provider_answers_at_once(*, stream: bool) -> None:
    body = whole(EVENTS, ANTHROPIC.stream) if stream else whole(JSON, ANTHROPIC.body)
    async with (
        loopback(hangs) as hanging,
        loopback(sends(body)) as well,
        service_with(hanging, well) as service,
        waiting_callers(service, hanging),
    ):
        took = []
        for number in range(3):  # the machine may be busy during one of them
            started = perf_counter()
            await ask(service.chat, asked("anthropic", number), stream=stream)
            took.append(perf_counter() - started)
        assert min(took) < PROMPT_S
        assert hanging.connections == 10


async def test_a_hedged_question_is_answered_by_the_other_provider() -> None:
    async with (
        loopback(hangs) as hanging,
        loopback(sends(whole(JSON, ANTHROPIC.body))) as well,
        service_with(hanging, well, hedge={"after_s": 0.05, "max_extra": 1}) as service,
        waiting_callers(service, hanging),
    ):
        started = perf_counter()
        response = await service.chat.complete(asked(None, CALLERS))
        assert response.provider == "anthropic"
        assert perf_counter() - started < PROMPT_S


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_probe_needs_no_connection_of_the_calls(sample: Sample) -> None:
    policy = HTTPPolicy(max_concurrency=1)

    async with loopback(hangs) as server, open_connections(policy) as connections:
        model = sample.make(ProviderPolicy(server.base_url, model="m"), connections)
        call = asyncio.create_task(model.complete(REQUEST))
        while not server.requests:  # noqa: ASYNC110 - on the other side of a socket
            await asyncio.sleep(0.001)
        server.reply = sends(whole(JSON, b'{"data": []}'))
        async with asyncio.timeout(PROMPT_S * 2):  # the SDKs parse their first answer slowly
            await model.ping()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_a_provider_that_is_never_called_has_no_pool() -> None:
    reply: Reply = sends(whole(JSON, OPENAI.body))
    async with loopback(reply) as server, open_connections(HTTPPolicy()) as connections:
        ANTHROPIC.model(connections, server.base_url)
        await OPENAI.model(connections, server.base_url).complete(REQUEST)
        await OPENAI.model(connections, server.base_url).complete(REQUEST)
        assert list(connections.pools.opened) == ["openai"]
