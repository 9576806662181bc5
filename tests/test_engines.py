"""Copier and Cookiecutter write the same, in every way that Cookiecutter may be called."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from tests.engines import (
    differences,
    git,
    release,
    run,
    tool,
    tree,
    with_cookiecutter,
    with_copier,
)
from tests.questions import (
    QUESTIONS,
    Answers,
    pairwise_answers,
    single_answers,
    with_defaults,
)
from tests.renders import Renders

ANSWER_SETS = dict([*single_answers(), *pairwise_answers()])
# Each choice is in some of the pairs; by itself it is compared with the whole template only.
WITHOUT_SINGLE_CHOICES = {name: answers for name, answers in ANSWER_SETS.items() if "=" not in name}


@pytest.mark.parametrize(
    "answers", WITHOUT_SINGLE_CHOICES.values(), ids=WITHOUT_SINGLE_CHOICES.keys()
)
def test_both_engines_write_the_same_bytes_and_modes(
    lean_template: Path, renders: Renders, answers: Answers
) -> None:
    compare(lean_template, renders, answers)


@pytest.mark.slow
@pytest.mark.parametrize("answers", ANSWER_SETS.values(), ids=ANSWER_SETS.keys())
def test_both_engines_write_the_same_of_the_whole_template(
    template: Path, renders: Renders, answers: Answers
) -> None:
    compare(template, renders, answers)


def compare(template: Path, renders: Renders, answers: Answers) -> None:
    by_copier = tree(renders.by_copier(template, answers))
    by_cookiecutter = tree(renders.by_cookiecutter(template, answers))
    assert differences(by_copier, by_cookiecutter) == []
    assert ".copier-answers.yml" in by_copier


def test_the_sample_of_the_template_is_large_enough() -> None:
    assert len(ANSWER_SETS) >= 40
    assert len(ANSWER_SETS) == len([*single_answers(), *pairwise_answers()])
    for name, question in QUESTIONS.items():
        tried = {with_defaults(answers).get(name) for answers in WITHOUT_SINGLE_CHOICES.values()}
        assert tried >= set(question.get("choices", []))


@pytest.fixture
def expected(lean_template: Path, renders: Renders) -> Path:
    return renders.by_copier(lean_template, {})


def test_the_commands_write_the_same_without_any_trust(
    lean_template: Path, tmp_path: Path, expected: Path
) -> None:
    """As each other, and as the functions that the other tests call."""
    run(tool("copier"), "copy", "--defaults", str(lean_template), str(tmp_path / "copier"))
    run(tool("cookiecutter"), "--no-input", str(lean_template), cwd=tmp_path)
    assert differences(tree(expected), tree(tmp_path / "copier")) == []
    assert differences(tree(expected), tree(tmp_path / "ai-service")) == []


def test_a_relative_directory_is_remembered_in_full(
    lean_template: Path, tmp_path: Path, expected: Path
) -> None:
    run(tool("cookiecutter"), "--no-input", ".", "-o", str(tmp_path), cwd=lean_template)
    assert differences(tree(expected), tree(tmp_path / "ai-service")) == []


def test_a_git_address_is_remembered_as_copier_understands_it(
    lean_template: Path, tmp_path: Path, expected: Path
) -> None:
    address = f"git+file://{lean_template}"
    run(tool("cookiecutter"), "--no-input", address, "--checkout", "v0.1.1", cwd=tmp_path)
    made = tmp_path / "ai-service"
    assert differences(tree(expected), tree(made)) == [".copier-answers.yml"]
    assert answers_of(made) == {**answers_of(expected), "_src_path": address}


def test_a_clone_that_cookiecutter_keeps_is_remembered_by_its_origin(
    lean_template: Path, tmp_path: Path
) -> None:
    address = f"git+file://{lean_template}"
    run(tool("cookiecutter"), "--no-input", address, cwd=tmp_path)
    shutil.rmtree(tmp_path / "ai-service")
    run(tool("cookiecutter"), "--no-input", lean_template.name, cwd=tmp_path)
    assert answers_of(tmp_path / "ai-service")["_src_path"].endswith(f"file://{lean_template}")


def test_a_zip_file_gives_the_same_files(
    lean_template: Path, tmp_path: Path, expected: Path
) -> None:
    archive = tmp_path / "template.zip"
    git(lean_template, "archive", "--format=zip", "--prefix=t/", f"--output={archive}", "HEAD")
    run(tool("cookiecutter"), "--no-input", str(archive), cwd=tmp_path)
    made = tmp_path / "ai-service"
    assert differences(tree(expected), tree(made)) == [".copier-answers.yml"]
    assert answers_of(made)["_src_path"] == str(archive)


def test_an_executable_file_stays_executable(lean_template: Path, tmp_path: Path) -> None:
    own = shutil.copytree(lean_template, tmp_path / "own")
    (own / "template/scripts/run.sh").write_text("#!/bin/sh\n")
    (own / "template/scripts/run.sh").chmod(0o755)
    release(own, "v0.1.2")
    by_copier = with_copier(own, tmp_path / "copier", {})
    by_cookiecutter = with_cookiecutter(own, tmp_path / "cookiecutter", {})
    assert os.access(by_copier / "scripts/run.sh", os.X_OK)
    assert differences(tree(by_copier), tree(by_cookiecutter)) == []


def test_files_of_work_in_place_are_not_shipped(
    lean_template: Path, tmp_path: Path, expected: Path
) -> None:
    """Untracked and ignored files of a checkout in use; Cookiecutter takes the directory as it is."""
    used = shutil.copytree(lean_template, tmp_path / "used")
    litter(used / "template")
    (used / ".git/info").mkdir(exist_ok=True)
    (used / ".git/info/exclude").write_text("scratch.*\n")  # ignored by Git alone
    (used / "template/scratch.md").write_text("stale")
    made = with_cookiecutter(used, tmp_path, {})
    assert differences(tree(expected), tree(made)) == [".copier-answers.yml"]  # another _src_path


def test_files_of_work_in_place_are_not_shipped_without_git_either(
    lean_template: Path, tmp_path: Path
) -> None:
    used = shutil.copytree(lean_template, tmp_path / "used", ignore=shutil.ignore_patterns(".git"))
    litter(used / "template")
    by_copier = tree(with_copier(used, tmp_path / "copier", {}))
    by_cookiecutter = tree(with_cookiecutter(used, tmp_path / "cookiecutter", {}))
    assert differences(by_copier, by_cookiecutter) == []
    assert not [name for name, (_, content) in by_copier.items() if content == b"stale"]


def litter(directory: Path) -> None:
    for name in (
        ".venv/bin/python", ".mypy_cache/x.json", "src/app/__pycache__/main.cpython-313.pyc",
        ".pytest_cache/v", "tests/.ruff_cache/x", "src/x.egg-info/PKG-INFO", ".coverage", ".env",
        "pyproject.toml", "README.md", ".python-version",
    ):  # fmt: skip
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text("stale")


def test_an_existing_directory_is_not_touched(lean_template: Path, tmp_path: Path) -> None:
    own = tmp_path / "ai-service/README.md"
    own.parent.mkdir()
    own.write_text("mine")
    output = run(tool("cookiecutter"), "--no-input", str(lean_template), cwd=tmp_path, check=False)
    assert "already exists" in output
    assert tree(own.parent) == {"README.md": (own.stat().st_mode, b"mine")}
    run(
        tool("copier"), "copy", "--defaults", str(lean_template), str(own.parent), check=False
    )  # asks, and gets no answer
    assert own.read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "edit", "own"),
    [
        pytest.param(["-f"], "as generated", "mine", id="overwrite"),
        pytest.param(["-f", "-s"], "mine", "mine", id="skip"),
    ],
)
def test_existing_files_are_overwritten_or_kept_as_the_flags_say(
    lean_template: Path, tmp_path: Path, flags: list[str], edit: str, own: str
) -> None:
    """Also the files without template syntax, and never files that the template does not ship."""
    made = with_cookiecutter(lean_template, tmp_path, {"ci": "none"})
    kept = made / ".github/workflows/own.yml"
    kept.parent.mkdir(parents=True)
    for path in (made / "README.md", made / "Makefile", made / ".copier-answers.yml", kept):
        path.write_text("mine")
    run(
        tool("cookiecutter"), "--no-input", *flags, str(lean_template), "ci=none", cwd=tmp_path
    )  # fmt: skip
    for name in ("README.md", "Makefile", ".copier-answers.yml"):
        assert ((made / name).read_text() == "mine") is (edit == "mine"), name
    assert kept.read_text() == own


def test_replay_gives_the_same_again(lean_template: Path, tmp_path: Path) -> None:
    cookiecutter = tool("cookiecutter")
    run(cookiecutter, "--no-input", str(lean_template), "ci=none", "author=Ü", cwd=tmp_path)
    first = tree(tmp_path / "ai-service")
    again = tmp_path / "again"
    run(cookiecutter, "--replay", str(lean_template), "-o", str(again), cwd=tmp_path)
    assert differences(first, tree(again / "ai-service")) == []


def test_a_replay_file_of_answers_alone_is_enough(lean_template: Path, tmp_path: Path) -> None:
    """Nothing in it depends on the version of the template, so it can be replayed with another."""
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"cookiecutter": {"project_name": "Replayed", "ci": "none"}}))
    command = [tool("cookiecutter"), "--replay-file", str(answers), str(lean_template)]
    # It asks for missing answers; an end of input ends it, so all other answers are in the file.
    complete = json.loads(answers.read_text())
    complete["cookiecutter"] |= {
        "project_slug": "replayed", "description": "x", "author": "x",
        "python_version": "3.11", "lock": "requirements", "license": "MIT", "operations": "all",
        "notebooks": "included",
    }  # fmt: skip
    answers.write_text(json.dumps(complete))
    run(*command, cwd=tmp_path)
    expected = with_copier(lean_template, tmp_path / "expected", complete["cookiecutter"])
    assert differences(tree(expected), tree(tmp_path / "replayed")) == []


def answers_of(project: Path) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((project / ".copier-answers.yml").read_text())
    return found
