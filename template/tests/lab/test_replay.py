"""`make replay`: from the log of one request to a play that takes the same way."""

import io
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from mock_api.faults import Fault
from scripts.lab.incident import Event, Incident, Load, Pledge
from scripts.lab.play import play_logged
from scripts.lab.replay import __main__ as replay_command
from scripts.lab.replay import files
from scripts.lab.replay.build import Replay, replay_of
from scripts.lab.replay.compare import replayed
from scripts.lab.replay.recorded import (
    Fact,
    Line,
    NotReplayableError,
    attempts,
    facts,
    lines_of,
)

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"

# Each kind of fault of the mock API, alone and before a good answer.
FAULTS: dict[str, list[Fault]] = {
    "none": [],
    "late": [Fault(latency_ms=2000)],
    "400": [Fault(status=400)],
    "401": [Fault(status=401)],
    "429 once": [Fault(status=429, times=1)],
    "429 with a pause": [Fault(retry_after=4, times=2)],
    "429 with a long pause": [Fault(retry_after=3600)],
    "500": [Fault(status=500)],
    "503 twice": [Fault(status=503, times=2)],
    "529": [Fault(status=529)],
    "dropped": [Fault(drop_after_chunks=0)],
    "dropped once": [Fault(drop_after_chunks=0, times=1)],
    "dropped in the text": [Fault(drop_after_chunks=3)],
    "silence": [Fault(stall_after_chunks=0)],
    "silence in the text": [Fault(stall_after_chunks=2)],
    "pings": [Fault(ping_after_chunks=0)],
    "pings in the text": [Fault(ping_after_chunks=2)],
    "malformed": [Fault(malformed=True)],
    "the first provider fails": [Fault(status=503, path=OPENAI)],
    "both fail": [Fault(status=503, path=OPENAI), Fault(malformed=True, path=ANTHROPIC)],
}


def log_of(faults: list[Fault], *, stream: bool, providers: str = "openai") -> list[str]:
    """The log of a service with one request, as text, and nothing else of it."""
    incident = Incident(
        title="A day in production",
        guard="None",
        settings={"LLM_PROVIDERS": providers},
        patience_s=3600,
        load=[Load(per_second=1, for_s=1, from_s=1, stream=stream)],
        events=[Event(at_s=0, faults=faults)],
        pledges=[Pledge(measure="own_errors", at_most=0)],
    )
    _, lines = play_logged(incident)
    return [orjson.dumps(line).decode() for line in lines]


def id_in(log: list[str]) -> str:
    ids = (str(line["request_id"]) for line in map(orjson.loads, log) if "request_id" in line)
    return next(ids)


def replay_from(log: list[str]) -> Replay:
    lines = lines_of(id_in(log), log)
    return replay_of("The request of a test", attempts(lines), facts(lines), {})


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", FAULTS)
def test_the_replay_of_a_fault_takes_the_recorded_way(name: str, *, stream: bool) -> None:
    providers = "openai,anthropic" if "provider" in name or "both" in name else "openai"
    replay = replay_from(log_of(FAULTS[name], stream=stream, providers=providers))
    assert replay.recorded[-1]["event"] == "http.request"
    assert replayed(replay) == replay.recorded


def test_a_replay_repeats_retries_pauses_and_the_cut_of_a_stream() -> None:
    log = log_of([Fault(status=503, times=1), Fault(drop_after_chunks=3)], stream=True)
    replay = replay_from(log)
    (event,) = replay.events
    assert event.faults is not None
    assert [fault.status for fault in event.faults] == [503, None]
    assert event.faults[1].drop_after_chunks == 3
    assert replayed(replay) == replay.recorded
    assert [fact["event"] for fact in replay.recorded] == ["llm.retry", "llm.call", "http.request"]


@pytest.mark.parametrize("fault", [Fault(ping_after_chunks=2), Fault(stall_after_chunks=2)])
def test_a_silence_and_pings_are_told_apart(fault: Fault) -> None:
    """Pings of OpenAI's API are comments, which are no events: there a ping is a silence."""
    (event,) = replay_from(log_of([fault], stream=True, providers="anthropic")).events
    assert event.faults is not None
    (found,) = event.faults
    assert found.ping_after_chunks == fault.ping_after_chunks
    assert found.stall_after_chunks == fault.stall_after_chunks


def line(event: str, **fields: object) -> Line:
    return {"timestamp": "2026-01-01T00:00:01.000Z", "event": event, "request_id": "one", **fields}


CALL = line("llm.call", provider="openai", operation="chat", outcome="ok", stream=False)
REQUEST = line("http.request", status=200, duration_ms=600)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([CALL], "no llm.call or no http.request"),
        ([REQUEST], "no llm.call or no http.request"),
        ([line("llm.shared"), CALL, REQUEST], "shared the answer of another request"),
        ([line("llm.retry_refused"), CALL, REQUEST], "had used up the retry budget"),
        ([CALL | {"outcome": "CircuitOpenError"}, REQUEST], "had opened the circuit"),
        ([CALL | {"outcome": "cached"}, REQUEST], "from the cache"),
        ([CALL | {"outcome": "cancelled"}, REQUEST], "its caller left"),
        ([CALL, CALL, REQUEST], "one chat call for each provider"),
        ([CALL | {"operation": "embeddings"}, REQUEST], "one chat call for each provider"),
    ],
)
def test_a_request_that_cannot_be_replayed_alone_says_why(lines: list[Line], why: str) -> None:
    with pytest.raises(NotReplayableError, match=why):
        attempts(lines)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"provider": "mistral"}, "does not speak for the provider mistral"),
        ({"outcome": "unexpected"}, "no fault that ends in unexpected"),
    ],
)
def test_an_attempt_that_the_mock_api_cannot_repeat_says_why(
    changes: dict[str, Any], why: str
) -> None:
    lines = [CALL | changes, REQUEST]
    with pytest.raises(NotReplayableError, match=why):
        replay_of("one", attempts(lines), facts(lines), {})


def test_lines_of_other_requests_and_programs_are_left_out() -> None:
    log = ["app-1  | " + orjson.dumps(CALL).decode(), "Traceback: half a", "[1, 2]"]
    log.append(orjson.dumps(CALL | {"request_id": "other"}).decode())
    assert lines_of("one", log) == [CALL]
    with pytest.raises(NotReplayableError, match="none of 4 lines is JSON and has the id two"):
        lines_of("two", log)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment of `make replay` for a request with one 503, its log, and a folder to save."""
    log = log_of([Fault(status=503, times=1)], stream=False)
    (tmp_path / "service.log").write_text("\n".join(log))
    monkeypatch.setattr(files, "REPLAYS", tmp_path / "replays")
    for name in ("SAVE", "SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ID", id_in(log))
    monkeypatch.setenv("LOG", str(tmp_path / "service.log"))
    return monkeypatch


def status_of_main() -> object:
    with pytest.raises(SystemExit) as ended:
        replay_command.main()
    return ended.value.code


def test_the_table_has_both_ways_side_by_side_and_the_status_is_0(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del command
    assert status_of_main() == 0
    head, *rows = capsys.readouterr().out.splitlines()
    retry = "llm.retry openai attempt=1 error=ProviderUnavailableError status=503"
    assert head.split() == ["recorded", "replayed"]
    assert re.fullmatch(f"same +{retry} +{retry}", rows[0])
    assert [row.split()[:2] for row in rows[1:]] == [["same", "llm.call"], ["same", "http.request"]]


def test_another_way_is_printed_and_the_status_is_1(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.setenv("SETTINGS", "RETRY_MAX_ATTEMPTS=1")
    assert status_of_main() == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_a_saved_replay_is_the_same_replay(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.setenv("SAVE", "one-503")
    assert status_of_main() == 0
    assert "incidents/replays/one-503.toml" in capsys.readouterr().out
    saved = files.load(files.REPLAYS / "one-503.toml")
    log = (files.REPLAYS.parent / "service.log").read_text().splitlines()
    made = replay_from(log)
    assert saved.model_dump(exclude={"title"}) == made.model_dump(exclude={"title"})
    assert replayed(saved) == saved.recorded


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ID", "another", "has the id another"),
        ("ID", "", "usage: make replay ID=… LOG=service.log"),
        ("LOG", "nowhere.log", "No such file"),
        ("SAVE", "../up", "use small letters, digits and hyphens"),
        ("SETTINGS", "RETRY_MAX_ATTEMPTS=none", "retry.max_attempts"),
    ],
)
def test_a_replay_that_cannot_be_made_says_why(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, why: str
) -> None:
    command.setenv(name, value)
    assert status_of_main() == 2
    assert why in capsys.readouterr().err


def test_the_log_may_come_from_standard_input(
    command: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command.setenv("LOG", "-")
    command.setattr(sys, "stdin", io.StringIO((tmp_path / "service.log").read_text()))
    assert status_of_main() == 0
    assert "same" in capsys.readouterr().out


SAVED = sorted(files.REPLAYS.glob("*.toml"))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_a_kept_request_still_takes_its_recorded_way(path: Path) -> None:
    replay = files.load(path)
    recorded: list[Fact] = replay.recorded
    assert replayed(replay) == recorded
