import time

from app.resilience.circuit_breaker import CircuitState
from app.resilience.health import Health
from app.testing import FakeChatModel
from tests.door import DeadCache, Door, opened


async def test_a_living_service_says_so(door: Door) -> None:
    answer = await door.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_being_alive_depends_on_nothing_else() -> None:
    cache = DeadCache()
    async with opened(FakeChatModel(), cache=cache) as door:
        assert (await door.http.get("/healthz")).status_code == 200
    assert cache.pings == 0


async def test_a_ready_service_lacks_nothing(door: Door) -> None:
    await door.http.post("/v1/ask", json={"question": "What is here?"})
    answer = await door.http.get("/readyz")
    ready = {"status": "ready", "degraded": [], "providers": {}}
    assert (answer.status_code, answer.json()) == (200, ready)


async def test_without_its_cache_it_is_still_ready_and_says_what_is_missing() -> None:
    async with opened(FakeChatModel(), cache=DeadCache()) as door:
        answer = await door.http.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["cache", "documents"])


async def test_a_cache_that_hangs_does_not_hang_the_probe() -> None:
    started = time.perf_counter()
    async with opened(FakeChatModel(), cache=DeadCache(hangs=True)) as door:
        answer = await door.http.get("/readyz")
    assert answer.json()["degraded"] == ["cache", "documents"]
    assert time.perf_counter() - started < 1.5


def health(
    *, calls: str = "", state: CircuitState = "closed", probe_failed: bool = False
) -> Health:
    made = Health(lambda: state)
    for outcome in calls:
        made.record(ok=outcome == "+")
    made.probed(ok=not probe_failed)
    return made


async def test_it_says_how_each_provider_is_doing() -> None:
    providers = {
        "one": health(calls="++++-"),
        "two": health(calls="-" * 10),
        "three": health(state="open"),
        "four": health(probe_failed=True),
    }
    async with opened(FakeChatModel(), cache=DeadCache(), health=providers) as door:
        answer = await door.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "degraded": ["cache", "documents", "two", "three", "four"],
        "providers": {
            "one": {"state": "closed", "success_rate": 0.8, "calls": 5},
            "two": {"state": "closed", "success_rate": 0, "calls": 10},
            "three": {"state": "open", "success_rate": None, "calls": 0},
            "four": {"state": "closed", "success_rate": None, "calls": 0},
        },
    }
