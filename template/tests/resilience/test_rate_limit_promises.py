"""For any callers: the limit holds, no call overtakes another, and none waits without need."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from app.resilience.rate_limit import LocalLimiter, RateLimitPolicy
from tests.resilience import callers, virtual_time
from tests.resilience.arrivals import most_within, overdraft
from tests.resilience.callers import Caller, Turn

BUCKETS = st.builds(
    RateLimitPolicy,
    requests_per_minute=st.integers(1, 12),
    burst=st.integers(1, 6),
    max_wait_s=st.sampled_from([0.0, 20.0, 600.0]),
)
STRICT = st.builds(
    RateLimitPolicy,
    requests_per_minute=st.integers(1, 12),
    strict=st.just(value=True),
    max_wait_s=st.sampled_from([0.0, 20.0, 600.0]),
)


def play(policy: RateLimitPolicy, coming: Sequence[Caller]) -> list[Turn]:
    async def scenario() -> list[Turn]:
        return await callers.turns([LocalLimiter(policy, clock=virtual_time.now)], coming)

    return virtual_time.run(scenario())


def excess(policy: RateLimitPolicy, times: Sequence[float]) -> float:
    """By how much these calls are more than the policy promises."""
    limit = policy.requests_per_minute
    if policy.strict:
        return most_within(60, times) - limit
    return overdraft(times, burst=policy.bucket, per_minute=limit)


@settings(max_examples=30)
@given(policy=BUCKETS | STRICT, coming=callers.ANY)
def test_the_limit_holds_and_calls_keep_their_order(
    policy: RateLimitPolicy, coming: list[Caller]
) -> None:
    made = play(policy, coming)
    assert made
    assert excess(policy, [turn.made for turn in made]) <= 1e-6
    assert [turn.number for turn in made] == sorted(turn.number for turn in made)
    assert all(turn.made - turn.came <= policy.max_wait_s + 1e-6 for turn in made)


@settings(max_examples=30)
@given(policy=BUCKETS | STRICT, coming=callers.ANY)
def test_no_call_waits_without_need(policy: RateLimitPolicy, coming: list[Caller]) -> None:
    """A moment earlier, each call that had to wait would have broken the promise."""
    made = play(policy, coming)
    a_moment_s = 0.001
    for place, turn in enumerate(made):
        if turn.made - turn.came > a_moment_s:
            before = [earlier.made for earlier in made[:place]]
            assert excess(policy, [*before, turn.made - a_moment_s]) > 0
