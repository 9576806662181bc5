"""`python -m evals`, in this process and, when it gets killed, in one of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from evals.__main__ import HERE, main
from evals.runs import read_run
from mock_api.testing import running_server

ROOT = HERE.parent
Evaluate = Callable[..., int]


def line(name: str, question: str) -> str:
    case = {"id": name, "question": question, "tags": ["x"], "expect": {"contains": ["yes"]}}
    return json.dumps(case) + "\n"


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Two of three pass: the mock repeats the question."""
    path = tmp_path / "some.jsonl"
    path.write_text(line("a", "Yes!") + line("b", "Yes, sir.") + line("c", "No."))
    return path


@pytest.fixture
def evaluate(data_set: Path, tmp_path: Path) -> Evaluate:
    return lambda *arguments: main([str(data_set), "--runs", str(tmp_path / "runs"), *arguments])


def test_the_data_set_of_the_service_passes_against_the_mock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--runs", str(tmp_path), "--name", "first", "--min-pass", "0.9"]) == 0
    assert "Report: " in capsys.readouterr().out
    assert (tmp_path / "first.html").exists()
    answers = read_run(tmp_path / "first.jsonl").answers.values()
    assert answers
    assert any(each.contexts for each in answers)  # feature: ask
    assert '"event":"llm.call"' in (tmp_path / "first.log").read_text()


def test_two_runs_say_the_same(evaluate: Evaluate, tmp_path: Path) -> None:
    for name in ("monday", "tuesday"):
        assert evaluate("--name", name) == 0
    monday, tuesday = (
        {
            key: (each.text, each.cost_usd, each.tokens)
            for key, each in read_run(tmp_path / f"runs/{name}.jsonl").answers.items()
        }
        for name in ("monday", "tuesday")
    )
    assert monday == tuesday


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param([], 0, id="no-gate"),
        pytest.param(["--min-pass", "0.6"], 0, id="kept"),
        pytest.param(["--min-pass", "0.7"], 1, id="missed"),
        pytest.param(["--max-worse", "0"], 0, id="nothing-to-compare"),
        pytest.param(["--against", "monday"], 2, id="no-such-run"),
    ],
)
def test_the_exit_code_depends_on_the_gates(
    evaluate: Evaluate, arguments: list[str], code: int
) -> None:
    assert evaluate(*arguments) == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", "../monday"],
        ["--concurrency", "0"],
        ["--repeat", "0"],
        ["--export", "excel"],
        ["--name", "monday", "--saved", "monday"],
        ["--min-pass", "90"],
        ["--min-pass", "most"],
        ["--max-worse", "-1"],
    ],
    ids=" ".join,
)
def test_a_bad_argument_is_refused(evaluate: Evaluate, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        evaluate(*arguments)
    assert refusal.value.code == 2


def test_a_bad_data_set_is_refused_before_anything_is_asked(
    evaluate: Evaluate, data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_set.write_text(data_set.read_text() + "{\n")
    assert evaluate() == 2
    assert f"{data_set}:4: Invalid JSON" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_case_that_no_longer_passes_fails_the_gate(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("--name", "monday") == 0
    run = tmp_path / "runs/monday.jsonl"
    (tmp_path / "runs/tuesday.jsonl").write_text(run.read_text().replace("Yes, sir.", "Well."))
    assert evaluate("--name", "tuesday", "--max-worse", "1") == 0
    assert evaluate("--name", "tuesday", "--max-worse", "0", "--against", "monday") == 1


def test_a_run_that_was_broken_off_is_continued_and_a_finished_one_is_not(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    assert evaluate("--name", "monday") == 0
    run = tmp_path / "runs/monday.jsonl"
    run.write_text("".join(run.read_text().splitlines(keepends=True)[:2]))
    assert evaluate() == 0
    assert [path.name for path in run.parent.glob("*.jsonl")] == ["monday.jsonl"]
    assert evaluate() == 0
    assert len([*run.parent.glob("*.jsonl")]) == 2


def test_a_repeated_run_that_was_broken_off_is_continued_with_its_number_of_trials(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    assert evaluate("--name", "monday", "--repeat", "3") == 0
    run = tmp_path / "runs/monday.jsonl"
    run.write_text("".join(run.read_text().splitlines(keepends=True)[:5]))
    assert evaluate() == 0
    assert [path.name for path in run.parent.glob("*.jsonl")] == ["monday.jsonl"]
    answered = read_run(run).answers
    assert sorted(answered) == [(name, trial) for name in "abc" for trial in (1, 2, 3)]


def test_a_run_of_other_trials_is_not_continued(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("--name", "monday", "--repeat", "3") == 0
    run = tmp_path / "runs/monday.jsonl"
    run.write_text("".join(run.read_text().splitlines(keepends=True)[:5]))
    assert evaluate("--repeat", "2") == 0
    assert len([*run.parent.glob("*.jsonl")]) == 2


def test_two_saved_runs_are_compared_without_a_question(
    evaluate: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("monday", "tuesday"):
        assert evaluate("--name", name, "--repeat", "5") == 0
    run = tmp_path / "runs/tuesday.jsonl"
    run.write_text(run.read_text().replace("Yes, sir.", "Well."))
    saved = run.read_text()
    capsys.readouterr()
    assert evaluate("--saved", "tuesday", "--against", "monday", "--max-worse", "0") == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "0 better, 1 worse beyond chance, 0 within chance" in text
    assert " worse: b " in text
    assert run.read_text() == saved
    assert evaluate("--saved", "monday", "--against", "tuesday", "--max-worse", "0") == 0
    assert evaluate("--saved", "sunday") == 2


def test_a_saved_run_is_exported_for_other_tools(evaluate: Evaluate, tmp_path: Path) -> None:
    assert evaluate("--name", "monday", "--repeat", "2") == 0
    assert evaluate("--saved", "monday", "--export", "promptfoo", "--export", "inspect") == 0
    for tool in ("promptfoo", "inspect"):
        (file,) = (tmp_path / "runs").glob(f"*monday.{tool}.json")
        assert json.loads(file.read_text())


def test_a_run_without_answers_fails_its_gates(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLM_PROVIDERS", "openai")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("RETRY_MAX_ATTEMPTS", "1")
    assert evaluate() == 2
    assert "Nothing was answered" in capsys.readouterr().err


@pytest.fixture
def mock() -> Iterator[str]:
    with running_server() as url:
        yield url


@pytest.mark.slow
def test_a_run_killed_halfway_pays_for_no_answer_twice(mock: str, tmp_path: Path) -> None:
    questions = [f"Yes, {number}." for number in range(20)]
    data_set, run = tmp_path / "some.jsonl", tmp_path / "runs/monday.jsonl"
    data_set.write_text("".join(line(str(n), text) for n, text in enumerate(questions)))
    arguments = [str(data_set), "--runs", str(run.parent), "--name", "monday", "--concurrency", "4"]

    # Ten are answered; then the provider is silent, so that no answer is in transit at the kill.
    faults = [{"latency_ms": 1, "times": 10}, {"stall_after_chunks": 0}]
    httpx2.put(f"{mock}/_mock/faults", json=faults)
    process = started(mock, arguments)
    wait_until(lambda: run.exists() and len(run.read_bytes().splitlines()) == 11)
    wait_until(lambda: len(received(mock)) == 14)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL

    httpx2.delete(f"{mock}/_mock/faults")
    assert started(mock, arguments).wait(30) == 0
    answered = Counter(question for question, status in received(mock) if status == 200)
    assert answered == Counter(questions)
    assert len(received(mock)) == 24  # the four that were being asked are asked once more
    assert len(read_run(run).answers) == 20


def started(mock: str, arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "evals", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": "src",
            "LLM_PROVIDERS": "openai",
            "OPENAI_BASE_URL": f"{mock}/v1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def received(mock: str) -> list[tuple[str, int | None]]:
    """The question and the status of each request; none while it waits for its answer."""
    listed = httpx2.get(f"{mock}/_mock/requests", params={"path": "/v1/chat"}).json()
    return [(each["body"]["messages"][-1]["content"], each["status"]) for each in listed]


def wait_until(happened: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
