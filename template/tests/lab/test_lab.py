"""`make lab`: the files of incidents, what is refused in them, and the table of pledges."""

import inspect
import random
import re
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.clients.ledger import LocalLedger
from scripts.lab import __main__ as lab
from scripts.lab import incident
from scripts.lab.incident import Incident, Pledge, load, names
from scripts.lab.measures import MEASURES, window
from scripts.lab.play import play
from scripts.lab.recording import Asked, Called, Recording
from scripts.lab.stack import settings_of

PAGE = Path(__file__).parents[2] / "docs/incidents.md"

QUIET = """
title = "Nothing happens"
guard = "None"
[[load]]
per_second = 1
for_s = 3
[[pledges]]
measure = "not_whole"
at_most = {bound}
"""


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an incident of three requests, as the only one, chosen with `INCIDENT`."""
    monkeypatch.setattr(incident, "INCIDENTS", tmp_path)
    monkeypatch.setenv("INCIDENT", "quiet")
    file = tmp_path / "quiet.toml"
    file.write_text(QUIET.format(bound=0))
    return file


def status_of_main() -> object:
    with pytest.raises(SystemExit) as ended:
        lab.main()
    return ended.value.code


def test_kept_pledges_are_printed_and_the_status_is_0(
    quiet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of_main() == 0
    printed = capsys.readouterr().out
    assert re.search(r"kept +requests without a whole answer +at most 0 +0\n", printed)
    assert "3 requests, 3 calls; log: llm.call 3" in printed
    assert quiet.exists()


def test_a_broken_pledge_is_printed_and_the_status_is_1(
    quiet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet.write_text(QUIET.format(bound=0).replace("at_most = 0", "at_least = 1"))
    assert status_of_main() == 1
    assert re.search(r"BROKEN +requests .* at least 1 +0\n", capsys.readouterr().out)


def test_after_a_play_each_clock_is_real_again(quiet: Path) -> None:
    before = time.time, time.monotonic, time.perf_counter
    state = random.getstate()
    play(load(quiet.stem))
    assert (time.time, time.monotonic, time.perf_counter) == before
    assert inspect.signature(LocalLedger).parameters["clock"].default is time.time
    assert random.getstate() == state


def test_an_incident_always_ends_in_the_same_way(quiet: Path) -> None:
    assert play(load(quiet.stem)) == play(load(quiet.stem))


def test_all_incidents_are_played_with_all(
    quiet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet.with_name("calm.toml").write_text(quiet.read_text())
    monkeypatch.setenv("INCIDENT", "all")
    assert status_of_main() == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if "Nothing happens" in line] == [
        "calm: Nothing happens",
        "quiet: Nothing happens",
    ]


def test_without_an_incident_the_page_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[bool] = []
    monkeypatch.delenv("INCIDENT", raising=False)
    monkeypatch.setattr(lab, "serve", lambda: served.append(True))
    lab.main()
    assert served == [True]


def test_an_unknown_incident_is_refused_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INCIDENT", "flood")
    assert status_of_main() == 2
    assert "no incident flood; choose one of: client, cut, down" in capsys.readouterr().err


@pytest.mark.parametrize("name", names())
def test_an_incident_has_valid_settings_and_a_section_of_the_page(name: str) -> None:
    found = load(name)
    settings_of(found)
    section = PAGE.read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    used = set(found.settings) - {"LLM_PROVIDERS"}  # each section would say so
    assert "**Guard**" in section
    assert [setting for setting in used if f"`{setting}`" not in section] == []


def test_every_measure_is_on_the_page() -> None:
    assert [name for name in MEASURES if f"`{name}`" not in PAGE.read_text()] == []


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"measure": "luck", "at_most": 1}, id="an unknown measure"),
        pytest.param({"measure": "calls"}, id="no bound"),
        pytest.param({"measure": "calls", "at_most": 1, "at_least": 1}, id="two bounds"),
        pytest.param({"measure": "calls", "at_most": 1, "until_s": 3}, id="an unknown field"),
    ],
)
def test_a_pledge_that_says_nothing_clear_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Pledge.model_validate(given)


def test_an_event_that_changes_nothing_is_refused() -> None:
    whole = load("redis").model_dump(exclude_unset=True)
    with pytest.raises(ValidationError, match="either faults or redis"):
        Incident.model_validate(whole | {"events": [{"at_s": 1}]})


def answered(sent_s: float, provider: str = "openai", status: int = 200) -> Asked:
    if status != 200:
        return Asked("", sent_s, sent_s + 1, status, "refused")
    return Asked("", sent_s, sent_s + 1, status, "whole", provider)


@pytest.mark.parametrize(
    ("measure", "value"),
    [
        ("calls", 0.5),
        ("whole", 0.75),
        ("not_whole", 1),
        ("own_errors", 0),
        ("from_provider", 0.5),
        ("without_retry_after", 1),
        ("longest_s", 1),
        ("refusal_s", 1),
        ("recovered_s", 2),
    ],
)
def test_a_measure_counts_the_requests_of_its_window(measure: str, value: float) -> None:
    asked = [
        answered(0, status=500),
        answered(10),
        answered(11, status=503),
        answered(12, "anthropic"),
        answered(13),
    ]
    called = [Called("openai", 10), Called("anthropic", 12), Called("openai", 13)]
    seen = window(Recording(asked, called), 10, 20, "openai", None)
    assert MEASURES[measure].of(seen) == value


def test_a_service_that_ends_unwell_has_not_recovered() -> None:
    seen = window(Recording([answered(1), answered(2, status=503)]), 0, 10, None, None)
    assert MEASURES["recovered_s"].of(seen) == float("inf")


def test_a_window_without_requests_is_refused() -> None:
    with pytest.raises(ValueError, match="no request is sent from 5 s to 6 s"):
        window(Recording([answered(1)]), 5, 6, None, None)
