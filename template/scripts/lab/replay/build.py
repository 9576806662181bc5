"""Makes an incident of a recorded request: one request, and a fault for each of its attempts."""

from collections.abc import Sequence

from mock_api.faults import Fault
from scripts.lab.incident import Event, Incident, Load, Pledge
from scripts.lab.replay.recorded import Attempt, Fact, NotReplayableError
from scripts.lab.stack import PROVIDERS

_PATHS = {provider: path for path, provider in PROVIDERS.items()}
_FIRST_ERROR = 400
_PATIENCE_S = 3600  # the recorded request ended by itself
_PINGS = "no text in time"  # of `Pace.timed_out`: events came, and no text


class Replay(Incident):
    """An incident with the facts of the log that it was made from."""

    recorded: list[Fact]


def replay_of(
    title: str, attempts: Sequence[Attempt], facts: Sequence[Fact], settings: dict[str, str]
) -> Replay:
    providers = list(dict.fromkeys(attempt.provider for attempt in attempts))
    if unknown := [name for name in providers if name not in _PATHS]:
        raise NotReplayableError(f"the mock API does not speak for the provider {unknown[0]}")
    calls = len(attempts)
    return Replay(
        title=title,
        guard="The way of a recorded request",
        settings={"LLM_PROVIDERS": ",".join(providers), **settings},
        patience_s=_PATIENCE_S,
        load=[Load(per_second=1, for_s=1, from_s=1, stream=any(f.get("stream") for f in facts))],
        events=[Event(at_s=0, faults=[fault_of(attempt) for attempt in attempts])],
        pledges=[
            Pledge(measure="calls", at_most=calls),
            Pledge(measure="calls", at_least=calls),
            Pledge(measure="own_errors", at_most=0),
        ],
        recorded=[*facts],
    )


def fault_of(attempt: Attempt) -> Fault:
    """The fault of the mock API that ends one attempt as the recorded one ended."""
    given: dict[str, object] = {"path": _PATHS[attempt.provider], "times": 1}
    if not attempt.error:
        return _fault(given, latency_ms=attempt.took_s * 1000)
    if attempt.status is not None and attempt.status >= _FIRST_ERROR:
        pause = {} if attempt.retry_after_s is None else {"retry_after": attempt.retry_after_s}
        return _fault(given, status=attempt.status, latency_ms=attempt.took_s * 1000, **pause)
    if attempt.error == "ProviderTimeoutError":
        kind = "ping" if _PINGS in attempt.message else "stall"
        return _fault(given, **{f"{kind}_after_chunks": attempt.chunks})
    if attempt.error == "MalformedAnswerError":
        return _fault(given, malformed=True)
    if attempt.error in {"ProviderConnectionError", "StreamInterruptedError"}:
        return _fault(given, drop_after_chunks=attempt.chunks)
    raise NotReplayableError(f"the mock API has no fault that ends in {attempt.error}")


def _fault(given: dict[str, object], **more: object) -> Fault:
    return Fault.model_validate(given | more)
