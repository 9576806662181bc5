from pathlib import Path

import pytest

from evals.runs import Conditions, UnusableRunError, continued, read_run, runs_of
from tests.evals.examples import BEGINNING, answer, case, failure

ONE, TWO = case("one"), case("two", question="Really?")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs/monday.jsonl"


def test_an_added_answer_is_read_by_the_next_process(path: Path) -> None:
    with continued(path, BEGINNING) as run:
        run.add(answer(ONE))
        assert read_run(path).answers == {("one", 1): answer(ONE)}
    with continued(path, BEGINNING) as run:
        assert run.missing([ONE, TWO], 1) == [(TWO, 1)]


def test_a_truncated_line_is_dropped_and_its_question_asked_again(path: Path) -> None:
    with continued(path, BEGINNING) as run:
        run.add(answer(ONE))
        run.add(answer(TWO))
    path.write_bytes(path.read_bytes()[:-5])
    with continued(path, BEGINNING) as run:
        assert run.missing([ONE, TWO], 1) == [(TWO, 1)]
        run.add(answer(TWO))
    assert read_run(path).missing([ONE, TWO], 1) == []


def test_a_question_that_was_changed_is_asked_again(path: Path) -> None:
    with continued(path, BEGINNING) as run:
        run.add(answer(ONE))
        changed = case("one", question="Which one, please?")
        assert run.missing([changed], 1) == [(changed, 1)]
        assert run.known([changed]) == {"one": []}


def test_only_questions_without_an_answer_are_asked_again(path: Path) -> None:
    with continued(path, BEGINNING) as run:
        run.add(failure(ONE, paid=False))
        run.add(failure(TWO, paid=True))
        assert run.missing([ONE, TWO], 1) == [(ONE, 1)]


def test_each_trial_that_is_missing_is_asked_all_cases_first(path: Path) -> None:
    with continued(path, BEGINNING) as run:
        run.add(answer(ONE, trial=1))
        run.add(answer(TWO, trial=2))
    again = read_run(path)
    assert again.missing([ONE, TWO], 2) == [(TWO, 1), (ONE, 2)]
    assert again.known([ONE, TWO])["two"] == [answer(TWO, trial=2)]


def test_a_run_is_finished_when_each_case_has_all_its_trials(path: Path) -> None:
    beginning = BEGINNING.model_copy(update={"cases": 1, "repeat": 2})
    with continued(path, beginning) as run:
        run.add(answer(ONE))
        assert not run.is_finished
        run.add(answer(ONE, trial=2))
        assert run.is_finished


def test_a_run_from_before_repeats_has_one_trial_of_each_case(path: Path) -> None:
    path.parent.mkdir()
    old = [
        BEGINNING.model_dump_json(exclude={"repeat"}),
        answer(ONE).model_dump_json(exclude={"trial"}),
    ]
    path.write_text("".join(f"{line}\n" for line in old))
    assert read_run(path).known([ONE])["one"] == [answer(ONE)]


def test_a_run_is_not_continued_under_other_conditions(path: Path) -> None:
    with continued(path, BEGINNING):
        pass
    other = Conditions(data_set="some.jsonl", asked_of=("openai/gpt-5",), mock=False)
    with (
        pytest.raises(
            UnusableRunError, match=r"gpt-5-mini \(mock\), and not with some.jsonl, .*gpt-5;"
        ),
        continued(path, BEGINNING.model_copy(update={"conditions": other})),
    ):
        pass


def test_two_processes_cannot_pay_for_the_same_run(path: Path) -> None:
    with (
        continued(path, BEGINNING),
        pytest.raises(UnusableRunError, match="another process"),
        continued(path, BEGINNING),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("", "not a run", id="empty"),
        pytest.param("{}\n", ":1: not a line of a run", id="another-file"),
        pytest.param(
            f"{BEGINNING.model_dump_json()}\n{{}}\n", ":2: not a line of a run", id="line"
        ),
    ],
)
def test_a_file_that_is_no_run_is_refused(path: Path, content: str, reason: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(UnusableRunError, match=reason):
        read_run(path)


def test_the_runs_of_a_data_set_are_those_of_no_other(path: Path) -> None:
    with continued(path, BEGINNING):
        pass
    assert [run.name for run in runs_of(path.parent, "some.jsonl")] == ["monday"]
    assert runs_of(path.parent, "other.jsonl") == []
