# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 2 · Extracted: functions, and then a module
#
# The two loops of [1_explored](1_explored.ipynb) become functions: no globals, each can be tried
# alone. Trying them on other data answers the questions that were left open.

# %%
import math
import random

from app.telemetry.recent import RELATIVE_ERROR, QuantileSketch

GROWTH = 1.01 / 0.99


def bucket_of(value):
    return math.ceil(math.log(value) / math.log(GROWTH))


def middle_of(bucket):
    return 2 * GROWTH**bucket / (GROWTH + 1)


def counted(values):
    buckets = {}
    for value in values:
        bucket = bucket_of(value)
        buckets[bucket] = buckets.get(bucket, 0) + 1
    return buckets


def quantile(buckets, q):
    rank = math.ceil(q * sum(buckets.values()))
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            return middle_of(bucket)
    return None


def exact(values, q):
    return sorted(values)[math.ceil(q * len(values)) - 1]


# %% [markdown]
# Does it hold for other shapes? Here are a hump, a long tail, and two humps.

# %%
dice = random.Random(5)
shapes = {
    "a hump": [dice.lognormvariate(-1, 0.3) for _ in range(5000)],
    "a long tail": [0.01 * dice.paretovariate(0.8) for _ in range(5000)],
    "two humps": [dice.choice([0.004, 8]) * dice.uniform(0.9, 1.1) for _ in range(5000)],
}
for name, values in shapes.items():
    buckets = counted(values)
    errors = [quantile(buckets, q) / exact(values, q) - 1 for q in (0.5, 0.95, 0.99)]
    print(f"{name:12}", " ".join(f"{error:+.2%}" for error in errors), f"{len(buckets)} buckets")
    assert max(map(abs, errors)) <= 0.0101

# %% [markdown]
# It does. And the edges, which real data never showed?

# %%
try:
    bucket_of(0.0)
except ValueError as error:
    print("A clock that is too coarse measures 0.0, and then:", error)
print("Of nothing:", quantile({}, 0.95))
print("The 0th percentile:", quantile(counted([0.5, 1.0]), 0.0), "- by luck, not by rule")

# %% [markdown]
# So production code must define zero and the smallest rank. The functions
# moved to [`src/app/telemetry/recent.py`](../src/app/telemetry/recent.py) with those decisions made:
#
# - values outside of a microsecond to a day are counted at the bound, so memory is bounded too;
# - the buckets and their count became a class, because they must never disagree;
# - sketches of ten seconds each can be merged, because a sliding window needs that.
#
# From here on the module is the truth, and this notebook only shows that it says the same.

# %%
for values in shapes.values():
    sketch = QuantileSketch()
    for value in values:
        sketch.add(value)
    for q in (0.5, 0.95, 0.99):
        assert math.isclose(sketch.quantile(q), quantile(counted(values), q))
print(f"The module agrees; it promises {RELATIVE_ERROR:.0%}")

# %% [markdown]
# **Next**, without a notebook: types and tests. [README](README.md), step 3.
