"""What services and addresses share through one Redis, and what they do not."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import fakeredis
import httpx2 as httpx
import pytest

from app.errors import LimitReachedError
from app.llm.types import ChatRequest, Message
from app.main import create_app
from app.project import project_name
from app.redis.client import SharedRedis
from app.settings import Settings
from app.wiring import Service, open_service
from tests.llm.samples import OPENAI

ONE_CALL = {"requests_per_minute": 1, "max_wait_s": 0}
ONE_FAILURE = {"failures": 1, "reset_s": 60}
REQUEST = ChatRequest((Message("user", "Where is the Zugspitze?"),), provider="openai")

Opened = Callable[..., AbstractAsyncContextManager[Service]]


class Upstream:
    def __init__(self) -> None:
        self.calls = 0
        self.status = 200

    def __call__(self, _: httpx.Request) -> httpx.Response:
        self.calls += 1
        return httpx.Response(self.status, content=OPENAI.body)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def opened(
    server: fakeredis.FakeServer, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> Opened:
    """Open a service with the Redis of the test."""

    @asynccontextmanager
    async def open_fake(_url: str, prefix: str) -> AsyncIterator[SharedRedis]:
        async with fakeredis.FakeAsyncRedis(server=server) as client:
            yield SharedRedis(client, prefix)

    monkeypatch.setattr("app.redis.backend.open_redis", open_fake)

    def opened(address: str = "https://one.test/v1", **values: object) -> object:
        settings = Settings(
            redis_url="redis://127.0.0.1:1/0",  # type: ignore[arg-type]  # as from the environment
            openai={"base_url": address},  # type: ignore[arg-type]
            retry={"max_attempts": 1},  # type: ignore[arg-type]
            health_probe_interval_s=0,
            **values,  # type: ignore[arg-type]
        )
        return open_service(settings, transport=httpx.MockTransport(upstream))

    return opened  # type: ignore[return-value]


OTHERS = [
    pytest.param({"redis_prefix": "other"}, id="service"),
    pytest.param({"app_env": "staging", "client": {"auth": "off"}}, id="environment"),
    pytest.param({"address": "https://two.test/v1"}, id="address"),
]


@pytest.mark.parametrize("other", OTHERS)
async def test_another_service_environment_or_address_gets_an_answer_of_its_own(
    other: dict[str, object], opened: Opened, upstream: Upstream
) -> None:
    async with opened() as one, opened(**other) as two:
        await one.chat.complete(REQUEST)
        assert not (await two.chat.complete(REQUEST)).cached
        assert (await two.chat.complete(REQUEST)).cached
    assert upstream.calls == 2


@pytest.mark.parametrize("other", OTHERS)
async def test_another_service_environment_or_address_has_a_limit_of_its_own(
    other: dict[str, object], opened: Opened
) -> None:
    values = {"rate_limit": ONE_CALL, "enable_caching": False}
    async with opened(**values) as one, opened(**values, **other) as two:
        await one.chat.complete(REQUEST)
        await two.chat.complete(REQUEST)
        for service in (one, two):
            with pytest.raises(LimitReachedError):
                await service.chat.complete(REQUEST)


@pytest.mark.parametrize("other", OTHERS)
async def test_another_service_environment_or_address_has_circuits_of_its_own(
    other: dict[str, object], opened: Opened, upstream: Upstream
) -> None:
    upstream.status = 500
    target = {"breaker": {"failures": 3, "reset_s": 60}}
    async with opened(breaker=ONE_FAILURE) as one, opened(**target, **other) as two:
        for service in (one, two):
            await _fails(service)
        assert _circuit_of(one) == "open"
        assert _circuit_of(two) == "closed"


async def test_two_processes_of_one_service_share_answers_limits_and_circuits(
    opened: Opened, upstream: Upstream
) -> None:
    async with opened() as one, opened() as two:
        await one.chat.complete(REQUEST)
        assert (await two.chat.complete(REQUEST)).cached
    assert upstream.calls == 1

    limited = {"rate_limit": ONE_CALL, "enable_caching": False, "redis_prefix": "limited"}
    async with opened(**limited) as one, opened(**limited) as two:
        await one.chat.complete(REQUEST)
        with pytest.raises(LimitReachedError):
            await two.chat.complete(REQUEST)

    upstream.status = 500
    uncached = {"enable_caching": False, "redis_prefix": "uncached"}
    target = {"breaker": {"failures": 3, "reset_s": 60}}
    async with opened(breaker=ONE_FAILURE, **uncached) as one, opened(**target, **uncached) as two:
        for service in (one, two):
            await _fails(service)
        assert _circuit_of(two) == "open"


async def test_every_key_begins_with_the_prefix_and_those_of_a_provider_have_one_hash_tag(
    opened: Opened, upstream: Upstream, server: fakeredis.FakeServer
) -> None:
    async with opened(breaker=ONE_FAILURE) as service:
        await service.chat.complete(REQUEST)
        upstream.status = 500
        await _fails(service, ChatRequest((Message("user", "Why?"),), provider="openai"))
        assert await service.checks["redis"]()
    async with fakeredis.FakeAsyncRedis(server=server, decode_responses=True) as client:
        keys = [str(key) for key in await client.keys()]
    prefix = f"{project_name()}:dev:"
    assert all(key.startswith(prefix) for key in keys)
    kinds = sorted(key.removeprefix(prefix).split(":")[0] for key in keys)
    tag = kinds[-1]
    assert tag.startswith("{openai-")
    assert kinds == ["cache", "probe", tag, tag, tag]


@pytest.mark.parametrize(
    ("values", "degraded"),
    [
        ({"enable_caching": False}, ["redis"]),
        ({}, ["cache", "redis"]),
    ],
    ids=["without a cache", "with a cache"],
)
async def test_a_missing_redis_is_told(
    values: dict[str, bool], degraded: list[str], unused_tcp_port: int
) -> None:
    url = f"redis://127.0.0.1:{unused_tcp_port}/0"
    upstream = httpx.MockTransport(lambda _: httpx.Response(200))
    app = create_app(Settings(redis_url=url, **values), transport=upstream)  # type: ignore[arg-type]
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client,
    ):
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, degraded)


async def _fails(service: Service, request: ChatRequest = REQUEST) -> None:
    with pytest.raises(Exception, match="500"):
        await service.chat.complete(request)


def _circuit_of(service: Service) -> str:
    return service.health["openai"].report().state
