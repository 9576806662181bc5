"""`make eval ARGS="--batch"`: the same answers at half the price, and nothing paid for twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from app.llm.batch_store import FileBatchStore
from app.network import ssl_context
from evals.__main__ import HERE, main
from evals.runs import read_run
from mock_api.testing import running_server

ROOT = HERE.parent
SCHEMA = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
CASES: list[dict[str, object]] = [
    {"id": "a", "question": "Yes!", "expect": {"contains": ["yes"]}},
    {"id": "b", "question": "Yes, sir.", "expect": {"contains": ["yes"]}},
    {"id": "json", "question": "Yes?", "expect": {"json_schema": SCHEMA}},
]
Evaluate = Callable[..., int]


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in CASES))
    return path


@pytest.fixture
def evaluate(data_set: Path, tmp_path: Path) -> Evaluate:
    return lambda *arguments: main([str(data_set), "--runs", str(tmp_path / "runs"), *arguments])


@pytest.fixture
def mock(monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx2.Client]:
    """The only provider: on a real socket, so it outlives a run. Its batches end at once."""
    with running_server() as url:
        monkeypatch.setenv("LLM_PROVIDERS", "openai")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        with httpx2.Client(base_url=url, verify=ssl_context(), trust_env=False) as client:
            client.put("/_mock/batches", json={"item_ms": 0}).raise_for_status()
            yield client


KEY = {"authorization": "Bearer sk-1234"}
BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


def uploaded(mock: httpx2.Client) -> str:
    """The file of the last batch."""
    listed: str = mock.get("/v1/batches", headers=KEY).json()["data"][0]["input_file_id"]
    return listed


def created(mock: httpx2.Client) -> int:
    listed = mock.get("/_mock/requests", params={"path": "/v1/batches"}).json()
    return sum(each["method"] == "POST" for each in listed)


def test_a_run_in_batches_says_the_same_at_half_the_price(
    evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--name", "calls") == 0
    assert evaluate("--name", "batches", "--batch", "--min-pass", "1") == 0
    calls = read_run(tmp_path / "runs/calls.jsonl").answers
    batches = read_run(tmp_path / "runs/batches.jsonl").answers
    assert batches.keys() == calls.keys()
    for key, answer in batches.items():
        cost_usd = calls[key].cost_usd
        assert cost_usd is not None
        assert answer.cost_usd == pytest.approx(cost_usd / 2)
        assert (answer.text, answer.tokens) == (calls[key].text, calls[key].tokens)
    page = (tmp_path / "runs/batches.html").read_text()
    assert "asked of openai/gpt-5-mini in batches (the mock API)" in page
    assert "Report: " in capsys.readouterr().out


def test_all_trials_of_all_cases_are_one_batch(evaluate: Evaluate, mock: httpx2.Client) -> None:
    assert evaluate("--batch", "--repeat", "4", "--min-pass", "1") == 0
    assert created(mock) == 1


def test_an_interrupted_run_gets_the_answers_of_its_batch(
    evaluate: Evaluate, mock: httpx2.Client, tmp_path: Path
) -> None:
    assert evaluate("--batch", "--repeat", "2", "--name", "monday") == 0
    run = tmp_path / "runs/monday.jsonl"
    whole = read_run(run).answers
    run.write_text("".join(run.read_text().splitlines(keepends=True)[:3]))
    assert evaluate("--batch") == 0
    again = read_run(run).answers
    assert {key: each.text for key, each in again.items()} == {
        key: each.text for key, each in whole.items()
    }
    assert created(mock) == 1


def test_a_failed_question_is_asked_again_and_an_answered_one_is_not(
    evaluate: Evaluate, mock: httpx2.Client, tmp_path: Path
) -> None:
    fault = {"path": "/v1/batches/items", "status": 503, "times": 1}
    mock.put("/_mock/faults", json=fault).raise_for_status()
    assert evaluate("--batch", "--name", "monday") == 0
    run = tmp_path / "runs/monday.jsonl"
    failed = [each for each in read_run(run).answers.values() if not each.paid]
    assert [each.id for each in failed] == ["a"]
    assert evaluate("--batch", "--name", "monday", "--min-pass", "1") == 0
    listed = mock.get("/_mock/requests", params={"path": "/v1/files"}).json()
    uploads = [each["body"] for each in listed if each["method"] == "POST"]
    assert [text.count('"custom_id"') for text in uploads] == [3, 1]


def test_a_run_in_batches_is_not_continued_by_calls(
    evaluate: Evaluate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--batch", "--name", "monday") == 0
    assert evaluate("--name", "monday") == 2
    assert "begun with some.jsonl, openai/gpt-5-mini in batches (mock)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--batch", "--concurrency", "4"], "with --batch all questions are asked at the same"),
        (["--batch", "--saved", "monday"], "with --saved or --cancel nothing is asked"),
    ],
    ids=["concurrency", "saved"],
)
def test_an_argument_that_batches_do_not_know_is_refused(
    evaluate: Evaluate, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        evaluate(*arguments)
    assert refusal.value.code == 2
    assert reason in capsys.readouterr().err


def test_a_bad_file_of_batches_is_refused_with_its_line(
    evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/monday.batches").write_text("{}\n")
    assert evaluate("--batch", "--name", "monday") == 2
    assert "monday.batches:1: not a submission" in capsys.readouterr().err


def test_the_batch_of_an_interrupted_run_can_be_cancelled(
    evaluate: Evaluate, mock: httpx2.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--batch", "--name", "monday") == 0
    [saved] = FileBatchStore(tmp_path / "runs/monday.batches").load()
    mock.put("/_mock/batches", json={"item_ms": 3_600_000}).raise_for_status()
    running = mock.post("/v1/batches", json=BATCH | {"input_file_id": uploaded(mock)}, headers=KEY)
    other = saved.model_copy(update={"key": "other", "batch_id": running.json()["id"]})
    FileBatchStore(tmp_path / "runs/monday.batches").save(other)
    capsys.readouterr()
    assert evaluate("--cancel", "monday") == 0
    assert capsys.readouterr().out == "monday: batches cancelled: 1\n"
    shown = mock.get(f"/v1/batches/{other.batch_id}", headers=KEY).json()
    assert shown["status"] == "cancelling"


@pytest.mark.parametrize(
    ("begun", "name", "reason"),
    [
        pytest.param(["--batch"], "monday", "monday has no batches at a provider", id="mock"),
        pytest.param([], "monday", "monday has no batches at a provider", id="calls"),
        pytest.param([], "sunday", "no run sunday of some.jsonl", id="unknown"),
    ],
)
def test_a_run_without_batches_at_a_provider_cannot_be_cancelled(
    evaluate: Evaluate, begun: list[str], name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--name", "monday", *begun) == 0
    assert evaluate("--cancel", name) == 2
    assert reason in capsys.readouterr().err


def test_the_batches_of_another_model_are_not_cancelled(
    evaluate: Evaluate,
    mock: httpx2.Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert evaluate("--batch", "--name", "monday") == 0
    monkeypatch.setenv("OPENAI_MODEL", "gpt-5-nano")
    assert evaluate("--cancel", "monday") == 2
    assert "monday was asked of openai/gpt-5-mini, not openai/gpt-5-nano" in capsys.readouterr().err
    assert created(mock) == 1


@pytest.mark.slow
def test_a_killed_run_pays_for_no_question_twice(
    data_set: Path, mock: httpx2.Client, tmp_path: Path
) -> None:
    mock.put("/_mock/batches", json={"item_ms": 1000}).raise_for_status()
    run = tmp_path / "runs/monday.jsonl"
    arguments = [str(data_set), "--runs", str(run.parent), "--name", "monday", "--batch"]
    command = [sys.executable, "-m", "evals", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ) as process:  # noqa: S603
        saved, ends = run.with_suffix(".batches"), time.monotonic() + 120
        while not (saved.exists() and '"batch_id":"' in saved.read_text()):
            assert time.monotonic() < ends
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert not read_run(run).answers
    subprocess.run(command, cwd=ROOT, env=os.environ, check=True, timeout=300)  # noqa: S603
    assert len(read_run(run).answers) == len(CASES)
    assert created(mock) == 1
