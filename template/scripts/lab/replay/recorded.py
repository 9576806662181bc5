"""What the log says about one request: its attempts, and the facts that a replay must repeat."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

Line = dict[str, Any]
Fact = dict[str, str | int | bool]

# Of these events a replay repeats these fields. Times, ids, texts, tokens and costs are left out.
_FACTS = {
    "llm.retry": ("provider", "attempt", "error", "status"),
    "llm.fallback": ("provider", "error", "status"),
    "llm.call": ("provider", "stream", "outcome", "status", "finish_reason", "text_chunks"),
    "http.request": ("status",),
}
# Each has a cause outside of the request.
_CAUSED_ELSEWHERE = {
    "llm.retry_refused": "other requests had used up the retry budget",
    "llm.limit_reached": "other requests had used up the rate limit",
    "llm.rate_limited": "it waited because of other requests",
    "llm.shed": "other requests had taken all connections",
    "llm.shared": "it shared the answer of another request",
    "llm.hedge": "it was hedged; the log does not say how long the slower call would have taken",
    "llm.stale": "its answer was an old one from the cache",
}
_OUTCOMES_OF_OTHERS = {
    "cached": "its answer came from the cache",
    "cancelled": "its caller left before the answer",
    "CircuitOpenError": "earlier requests had opened the circuit",
}
_COMPOSE = re.compile(r"^[\w.-]+\s+\| ?")


class NotReplayableError(Exception):
    """The log of the request does not say enough, or its cause is in other requests."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt. `error` is empty if it gave the answer; `chunks` is the text before the end."""

    provider: str
    took_s: float
    error: str = ""
    message: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    chunks: int = 0


def lines_of(request_id: str, log: Iterable[str]) -> list[Line]:
    """The lines of one request, in the order of their times."""
    read, found = 0, []
    for text in log:
        read += 1
        line = _parsed(_COMPOSE.sub("", text))
        if line is not None and request_id in {line.get("request_id"), line.get("trace_id")}:
            found.append(line)
    if not found:
        raise NotReplayableError(
            f"none of {read} lines is JSON and has the id {request_id} (the log needs LOG_FORMAT=json)"
        )
    return sorted(found, key=_time)


def _parsed(text: str) -> Line | None:
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and {"timestamp", "event"} <= line.keys() else None


def facts(lines: Iterable[Line]) -> list[Fact]:
    return [
        {
            "event": line["event"],
            **{name: line[name] for name in _FACTS[line["event"]] if line.get(name) is not None},
        }
        for line in lines
        if line["event"] in _FACTS
    ]


def attempts(lines: Sequence[Line]) -> list[Attempt]:
    """The attempts in their order, each with the time that it took.

    Raises `NotReplayableError` if the request has no attempt, or did not end by itself.
    """
    _refuse_other_causes(lines)
    found: list[Attempt] = []
    begun = _start(lines)
    for line in lines:
        if line["event"] in {"llm.retry", "llm.call"}:
            found.append(_attempt(line, max(0.0, _time(line) - begun)))
            begun = _time(line) + line.get("wait_s", 0.0)
    return found


def _refuse_other_causes(lines: Sequence[Line]) -> None:
    calls = [line for line in lines if line["event"] == "llm.call"]
    outcomes = [_OUTCOMES_OF_OTHERS.get(line["outcome"]) for line in calls]
    for why in [*(_CAUSED_ELSEWHERE.get(line["event"]) for line in lines), *outcomes]:
        if why is not None:
            raise NotReplayableError(f"it cannot be replayed alone: {why}")
    if not calls or not any(line["event"] == "http.request" for line in lines):
        raise NotReplayableError("the log has no llm.call or no http.request of it")
    providers = [line["provider"] for line in calls]
    if len(providers) != len(set(providers)) or any(c["operation"] != "chat" for c in calls):
        raise NotReplayableError("only a request with one chat call for each provider is replayed")


def _attempt(line: Line, took_s: float) -> Attempt:
    is_last = line["event"] == "llm.call"
    outcome = line["outcome"] if is_last else line["error"]
    return Attempt(
        provider=line["provider"],
        took_s=round(took_s, 3),
        error="" if outcome == "ok" else outcome,
        message=line.get("error", "") if is_last else "",
        status=line.get("status"),
        retry_after_s=line.get("retry_after_s"),
        chunks=line.get("text_chunks", 0),
    )


def _start(lines: Sequence[Line]) -> float:
    last = next(line for line in lines if line["event"] == "http.request")
    return _time(last) - float(last["duration_ms"]) / 1000


def _time(line: Line) -> float:
    return datetime.fromisoformat(line["timestamp"]).timestamp()
