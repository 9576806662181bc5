# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 4 · In production: the endpoint
#
# The module of [2_extracted](2_extracted.ipynb) is typed and tested now, and the service uses it:
# [`recent.py`](../src/app/telemetry/recent.py) keeps one sketch for every ten seconds,
# [`metrics.py`](../src/app/api/metrics.py) answers `GET /metrics/summary` from them.
#
# Here the whole service runs in this process, with the mock API behind it, and is asked over HTTP
# like any other time.

# %%
import math
import time

import httpx2

from app.main import create_app
from app.settings import Settings
from app.sync import run_sync
from app.telemetry.recent import RELATIVE_ERROR
from app.testing import captured_logs
from mock_api.application import create_app as create_mock

# %%
mock = httpx2.ASGITransport(create_mock())
settings = Settings(enable_caching=False)


async def used(count):
    app = create_app(settings, transport=mock)
    service = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=mock, base_url="http://mock") as control,
        httpx2.AsyncClient(transport=service, base_url="http://service") as client,
    ):
        await control.put("/_mock/faults", json={"latency_ms": 30, "rate": 0.1})
        waits = [await waited(client, number) for number in range(count)]
        summary = (await client.get("/metrics/summary")).raise_for_status().json()
    return waits, summary


async def waited(client, number):
    body = {"messages": [{"role": "user", "content": f"Question {number}"}]}
    start = time.perf_counter()
    (await client.post("/v1/chat", json=body)).raise_for_status()
    return time.perf_counter() - start


with captured_logs():
    waits, summary = run_sync(used(60))

# %% [markdown]
# Compare it with the times of the callers: they wait a little longer than the service measures, because they
# count their own work as well.

# %%
chat = summary["http"]["POST /v1/chat"]
ranked = sorted(waits)
for q in (0.5, 0.95, 0.99):
    lived = ranked[math.ceil(q * len(ranked)) - 1] * 1000
    print(
        f"p{q * 100:.0f}: the service says {chat[f'p{q * 100:.0f}_ms']:6.1f} ms, lived {lived:6.1f} ms"
    )
    assert chat[f"p{q * 100:.0f}_ms"] <= lived * (1 + RELATIVE_ERROR)
assert chat["count"] == len(waits)

# %% [markdown]
# **Done:** the number that the exploration asked for is one request away, on every instance, for
# ever: `curl localhost:8000/metrics/summary`. This notebook keeps how it was found.
