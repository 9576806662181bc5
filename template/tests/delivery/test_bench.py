"""What `make bench` compares, and that the programs it compares give the same answers."""

import json
from pathlib import Path

import httpx2
import pytest

from scripts.bench import saved
from scripts.bench.__main__ import main
from scripts.bench.baselines import PROGRAMS
from scripts.bench.figure import Figure, ratio
from scripts.bench.telemetry import running
from scripts.bench.upstream import EVENTS

QUESTION = {"messages": [{"role": "user", "content": "Where is the Zugspitze?"}]}
STREAMED = {"messages": [{"role": "user", "content": "And the Watzmann?"}], "stream": True}


def between(low: float, high: float) -> saved.Figures:
    return {"a: b": Figure("b", (low + high) / 2, "x", spread=(low, high))}


def test_a_ratio_is_the_median_of_its_rounds_with_the_range_of_the_middle_half() -> None:
    figure = ratio("r", [2.0, 4.0, 6.0, 8.0, 10.0], [1.0, 1.0, 1.0, 2.0, 2.0])
    assert (figure.value, figure.spread) == (4.0, (3.0, 5.5))


def test_a_ratio_above_the_spread_of_the_saved_run_is_a_regression() -> None:
    worse = saved.regressions(between(1.3, 1.5), between(1.0, 1.2))
    assert len(worse) == 1
    assert "a: b" in worse[0]


@pytest.mark.parametrize(
    ("low", "high"), [pytest.param(1.1, 1.9, id="overlaps"), pytest.param(0.5, 0.7, id="better")]
)
def test_a_ratio_within_the_spread_or_below_it_is_no_regression(low: float, high: float) -> None:
    assert saved.regressions(between(low, high), between(1.0, 1.2)) == []


def test_runs_without_a_common_ratio_are_refused() -> None:
    times: saved.Figures = {"a: b": Figure("b", 1.0, "µs")}
    with pytest.raises(SystemExit, match="no ratio in common"):
        saved.regressions(times, between(1.0, 1.2))


def test_a_saved_run_is_read_again_as_it_was(tmp_path: Path) -> None:
    figures = {**between(1.0, 1.2), "a: limited": Figure("limited", 1.0, "µs", limit=2.0)}
    saved.save(tmp_path / "run.json", figures)
    assert saved.load(tmp_path / "run.json") == figures


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param("{", id="not-JSON"),
        pytest.param("[]", id="no-figures"),
        pytest.param(json.dumps({"figures": {"a": {"name": "a"}}}), id="incomplete"),
    ],
)
def test_an_unreadable_file_ends_the_command_before_it_measures(
    content: str | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(SystemExit, match="is not a file that --json wrote"):
        main(["--compare", str(tmp_path / "run.json")])


@pytest.mark.slow
def test_all_programs_give_the_answer_and_the_stream_of_the_upstream() -> None:
    with running("scripts.bench.upstream") as upstream:
        for command in PROGRAMS.values():
            with running(*command, mock=upstream) as server:
                url = f"{server}/v1/chat"
                whole = httpx2.post(url, json=QUESTION, trust_env=False)
                stream = httpx2.post(url, json=STREAMED, trust_env=False)
                cpu_s = httpx2.get(f"{server}/_cpu", trust_env=False)
            assert "The Zugspitze is in Bavaria." in whole.text, command
            assert stream.text.count('"The Zugspitze "') == EVENTS, command
            assert float(cpu_s.text) > 0, command
