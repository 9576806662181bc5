"""The files have the fields that promptfoo 0.120 and inspect-ai 0.3 read; both tools are not part of the tests."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from evals.cases import Expect
from evals.exports import export
from evals.gates import Gates
from evals.outcome import Outcome, outcome
from tests.evals.examples import answer, case, failure, run

GREETING = case("greeting", tags=["chat"], expect=Expect(contains=["yes", "sir"]))
SCHEMA = case("json", expect=Expect(json_schema={"type": "object"}, exact="{}"))
FOUND = case("found", kind="ask", question="Where?", expect=Expect(documents=["a.md"]))


@pytest.fixture
def ended(tmp_path: Path) -> Outcome:
    """Two trials each: half of the greeting, all of the JSON, and an unanswered question."""
    answers = [
        answer(GREETING, "Yes, sir.", trial=1),
        answer(GREETING, "Yes.", trial=2),
        answer(SCHEMA, "{}", trial=1),
        answer(SCHEMA, "{}", trial=2),
        answer(FOUND, "In a.md.", trial=1, contexts=["a.md#x"]),
        failure(FOUND, paid=False).model_copy(update={"trial": 2}),
    ]
    one = run(tmp_path / "monday.jsonl", *answers)
    one.path.touch()
    return outcome(one, [GREETING, SCHEMA, FOUND], [], None, Gates())


def exported(ended: Outcome, tool: str) -> dict[str, Any]:
    path = export(ended, tool)
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def test_promptfoo_gets_a_result_per_trial_with_its_verdict(ended: Outcome) -> None:
    file = exported(ended, "promptfoo")
    assert (file["evalId"], file["results"]["version"]) == ("eval-monday", 3)
    results = file["results"]["results"]
    assert [each["testIdx"] for each in results] == [0, 1, 2, 3, 4, 5]
    assert [each["success"] for each in results] == [True, False, True, True, True, False]
    assert [each["failureReason"] for each in results] == [0, 1, 0, 0, 0, 2]
    assert file["results"]["stats"]["errors"] == 1
    assert results[1]["vars"] == {"question": "Which one?"}
    assert results[1]["gradingResult"]["componentResults"] == [
        {"pass": False, "score": 0.5, "reason": "contains 0.50"}
    ]
    assert results[5]["error"] == "ProviderTimeoutError: too slow"
    (prompt,) = file["results"]["prompts"]
    assert prompt["provider"] == "openai/gpt-5-mini"
    assert prompt["metrics"]["cost"] == pytest.approx(0.006)


def test_promptfoo_gets_the_cases_as_tests_that_it_can_run(ended: Outcome) -> None:
    tests = exported(ended, "promptfoo")["config"]["tests"]
    assert [(each["description"], each["assert"]) for each in tests] == [
        (
            "greeting",
            [{"type": "icontains", "value": "yes"}, {"type": "icontains", "value": "sir"}],
        ),
        (
            "json",
            [{"type": "equals", "value": "{}"}, {"type": "is-json", "value": {"type": "object"}}],
        ),
        ("found", []),
    ]


def test_inspect_gets_a_sample_per_trial_as_epochs(ended: Outcome) -> None:
    log = exported(ended, "inspect")
    assert (log["version"], log["status"], log["eval"]["model"]) == (
        2,
        "success",
        "openai/gpt-5-mini",
    )
    assert log["eval"]["config"] == {"epochs": 2}
    assert log["eval"]["dataset"]["sample_ids"] == ["greeting", "json", "found"]
    samples = log["samples"]
    assert [(each["id"], each["epoch"], each["scores"]["passed"]["value"]) for each in samples] == [
        *[("greeting", 1, "C"), ("greeting", 2, "I")],
        *[("json", 1, "C"), ("json", 2, "C")],
        *[("found", 1, "C"), ("found", 2, "I")],
    ]
    assert [each["target"] for each in samples[::2]] == [
        ["yes", "sir"],
        "{}",
        '{"documents":["a.md"]}',
    ]
    assert samples[1]["output"]["choices"][0]["message"]["content"] == "Yes."
    assert samples[4]["metadata"]["contexts"] == ["a.md#x"]
    assert [each["error"] is None for each in samples] == [True] * 5 + [False]


def test_inspect_gets_the_rates_as_metrics(ended: Outcome) -> None:
    results = exported(ended, "inspect")["results"]
    assert (results["total_samples"], results["completed_samples"]) == (6, 5)
    passed, *others = results["scores"]
    assert passed["metrics"]["accuracy"]["value"] == pytest.approx(4 / 6)
    assert passed["metrics"]["pass^2"]["value"] == pytest.approx(1 / 3)
    assert [score["name"] for score in others] == ["exact", "contains", "json", "hit", "mrr"]


def test_the_names_are_those_that_the_tools_find(ended: Outcome) -> None:
    os.utime(ended.run.path, (1_700_000_000, 1_700_000_000))
    assert export(ended, "promptfoo").name == "monday.promptfoo.json"
    assert export(ended, "inspect").name == "2023-11-14T22-13-20-monday.inspect.json"


@pytest.mark.parametrize("tool", ["promptfoo", "inspect"])
def test_a_file_has_the_time_of_the_last_answer(ended: Outcome, tool: str) -> None:
    """A run exported twice is the same file."""
    first = export(ended, tool).read_bytes()
    assert export(ended, tool).read_bytes() == first
