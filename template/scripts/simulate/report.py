"""The result of a play as numbers of the whole deployment."""

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.simulate.play import Played
from scripts.simulate.recording import most_in_a_second, percentile

_WHOLE_FROM = 100  # no digits behind the point


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    value: float
    unit: str = ""

    def __str__(self) -> str:
        digits = 0 if self.value >= _WHOLE_FROM else 1
        return f"  {self.name:<38} {self.value:>12,.{digits}f} {self.unit}".rstrip()


def report(played: Played) -> str:
    size = played.size
    head = (
        f"{size.replicas} replicas, {size.rate:g} requests a second for {played.scenario.seconds:g} s"
        f" (simulated: one of {size.shrink})"
    )
    return "\n".join([played.scenario.title, head, *map(str, lines(played))])


def lines(played: Played) -> Iterator[Line]:
    yield from _requests(played)
    yield from _redis(played)


def _requests(played: Played) -> Iterator[Line]:
    shrink, recording = played.size.shrink, played.recording
    yield Line("requests", len(recording.asked) * shrink)
    for outcome, count in sorted(recording.outcomes.items()):
        yield Line(f"  {outcome}", count * shrink)
    yield Line("calls to the provider", len(recording.called_s) * shrink)
    yield Line("  most in a second", most_in_a_second(recording.called_s) * shrink)
    yield Line("  for a question asked before", recording.asked_again * shrink)
    waits, refusals = recording.waits_s(), recording.waits_s(refused=True)
    yield Line("answer, p50", percentile(waits, 0.5) * 1000, "ms")
    yield Line("answer, p99", percentile(waits, 0.99) * 1000, "ms")
    if refusals:
        yield Line("refusal, p99", percentile(refusals, 0.99) * 1000, "ms")


def _redis(played: Played) -> Iterator[Line]:
    shrink, redis, seconds = played.size.shrink, played.redis, played.scenario.seconds
    traffic = redis.traffic
    yield Line("Redis, round trips a second", traffic.round_trips * shrink / seconds)
    total = traffic.sent_bytes + traffic.received_bytes
    yield Line("Redis, bytes a second", total * shrink / seconds / 1e6, "MB")
    yield Line(
        "Redis, work for one processor", redis.busy_s / seconds * played.scenario.redis * 100, "%"
    )
    yield Line("Redis, longest queue", redis.longest_queue_s * 1000, "ms")
    yield Line("Redis, most connections", redis.most_connections * shrink)
    yield Line("Redis, refused connections", redis.refused_connections * shrink)
    for event in ("redis.unavailable", "llm.circuit", "llm.retry"):
        yield Line(f"log, {event}", played.recording.events[event] * shrink)
