# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · Explored: how long do people wait?
#
# A model usually answers fast and sometimes slowly. Which few numbers say that honestly, and can a
# service keep them for the last minutes without keeping every call?
#
# This is a first look: globals, no types, cells in the order of the thoughts. The useful parts
# are extracted in [2_extracted](2_extracted.ipynb).

# %%
import math
import time

import httpx2

from app.llm.types import ChatRequest, Message
from app.settings import Settings
from app.sync import run_sync
from app.testing import captured_logs
from app.wiring import open_service
from mock_api.application import create_app

# %% [markdown]
# The service's own stack (guards, pool, wire formats) asks the mock API, in this process: no
# network, no key. The mock answers at once, so it is told to be slow every tenth time. `run_sync`
# is there because a notebook has a running loop, in which `asyncio.run` refuses to work.

# %%
mock = httpx2.ASGITransport(create_app())
settings = Settings(enable_caching=False)


async def asked(count):
    seconds = []
    async with httpx2.AsyncClient(transport=mock, base_url="http://mock") as client:
        await client.put("/_mock/faults", json={"latency_ms": 30, "rate": 0.1})
    async with open_service(settings, transport=mock) as service:
        for number in range(count):
            request = ChatRequest((Message("user", f"Question {number}"),))
            start = time.perf_counter()
            await service.chat.complete(request)
            seconds.append(time.perf_counter() - start)
    return seconds


with captured_logs():  # the log lines of the calls are not needed here
    waits = run_sync(asked(60))
print(f"{len(waits)} answers, the fastest in {min(waits) * 1000:.1f} ms")

# %% [markdown]
# The mean describes no single call: most wait less, and some wait far longer.

# %%
mean = sum(waits) / len(waits)
ranked = sorted(waits)
print(
    f"mean {mean * 1000:6.1f} ms, exceeded by {sum(wait > mean for wait in waits)} of {len(waits)}"
)
for q in (0.5, 0.95, 0.99):
    print(f"p{q * 100:.0f}  {ranked[max(math.ceil(q * len(ranked)), 1) - 1] * 1000:6.1f} ms")

# %% [markdown]
# Percentiles tell it. But these needed every single wait, sorted. A busy service has a million of
# them in five minutes. Counting in a few fixed buckets is cheap, and says little: all that is known
# of a value is its bucket.

# %%
bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
p95 = ranked[math.ceil(0.95 * len(ranked)) - 1]
bound = next(bound for bound in bounds if bound >= p95)
print(f"p95 is {p95 * 1000:.1f} ms; the bucket says: at most {bound * 1000:.0f} ms")

# %% [markdown]
# Make each bucket a little wider than the one before, by the same *factor*: then the middle
# of a bucket is wrong by the same share everywhere. For one percent the factor is 1.01 / 0.99.

# %%
growth = 1.01 / 0.99
buckets = {}
for wait in waits:
    bucket = math.ceil(math.log(wait) / math.log(growth))
    buckets[bucket] = buckets.get(bucket, 0) + 1

rank = math.ceil(0.95 * len(waits))
for bucket in sorted(buckets):
    rank -= buckets[bucket]
    if rank <= 0:
        guess = 2 * growth**bucket / (growth + 1)
        break
print(f"p95 is {p95 * 1000:.3f} ms, from the buckets {guess * 1000:.3f} ms: {guess / p95 - 1:+.2%}")
assert abs(guess / p95 - 1) <= 0.0101

# %% [markdown]
# And how many buckets can there be, from a microsecond to a day?

# %%
print(math.ceil(math.log(86_400 / 1e-6) / math.log(growth)), "buckets, however many calls")

# %% [markdown]
# **Found:** one percent is exact enough for a person, and costs at most 1,245 counts instead of a
# million numbers. (It is known: a *DDSketch*; looking it up came after this.) Open questions for
# [2_extracted](2_extracted.ipynb): does it hold for other shapes, and which bucket holds zero?
