"""A bad answer is refused by name, by both engines, and no file remains of the attempt."""

import re
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException

from tests.engines import run, tool, tree, with_cookiecutter, with_copier
from tests.questions import Answers

BAD_ANSWERS = {
    "slug-empty": {"project_slug": ""},
    "slug-blank": {"project_slug": " "},
    "slug-parent": {"project_slug": "../evil"},
    "slug-path": {"project_slug": "a/b"},
    "slug-absolute": {"project_slug": "/tmp/evil"},
    "slug-backslash": {"project_slug": "a\\b"},
    "slug-dot": {"project_slug": "."},
    "slug-dots": {"project_slug": ".."},
    "slug-home": {"project_slug": "~"},
    "slug-upper-case": {"project_slug": "MyService"},
    "slug-underscore": {"project_slug": "my_service"},
    "slug-digit-first": {"project_slug": "1service"},
    "slug-hyphen-first": {"project_slug": "-service"},
    "slug-hyphen-last": {"project_slug": "service-"},
    "slug-two-hyphens": {"project_slug": "my--service"},
    "slug-newline": {"project_slug": "service\n"},
    "slug-non-ascii": {"project_slug": "größe"},
    "slug-non-ascii-digit": {"project_slug": "a١"},
    "slug-quote": {"project_slug": "it's"},
    "slug-shell": {"project_slug": "$(touch x)"},
    "slug-template": {"project_slug": "{{ 7*7 }}"},
    "slug-51": {"project_slug": "a" * 51},
    "slug-300": {"project_slug": "a" * 300},
    "slug-device": {"project_slug": "nul"},
    "slug-keyword": {"project_slug": "class"},
    "slug-package": {"project_slug": "app"},
    "slug-mock": {"project_slug": "mock-api"},
    "slug-dependency": {"project_slug": "fastapi"},
    "slug-nothing-derivable": {"project_name": "日本語"},
    "name-empty": {"project_name": ""},
    "name-blank": {"project_name": "   "},
    "name-300": {"project_name": "x" * 300, "project_slug": "x"},
    "name-template": {"project_name": "{{ 7*7 }}"},
    "name-unclosed-template": {"project_name": "{{"},
    "description-template": {"description": "{{ 7*7 }}"},
    "description-statement": {"description": "{% if %}"},
    "description-comment": {"description": "{# x"},
    "description-cookiecutters-own-syntax": {"description": "=={ 7*7 }=="},
    "description-newline": {"description": "one\ntwo"},
    "description-carriage-return": {"description": "one\rtwo"},
    "description-null": {"description": "a\x00b"},
    "description-escape": {"description": "\x1b[31mred"},
    "description-line-separator": {"description": "one\u2028two"},
    "description-right-to-left": {"description": "a\u202eb"},
    "description-surrogate": {"description": "a\udc80b"},
    "description-301": {"description": "x" * 301},
    "description-empty": {"description": ""},
    "author-empty": {"author": ""},
    "author-101": {"author": "x" * 101},
    "author-tab": {"author": "a\tb"},
    "python-old": {"python_version": "3.10"},
    "lock-unknown": {"lock": "pipenv"},
    "ci-unknown": {"ci": "jenkins"},
    "license-unknown": {"license": "mit"},
}
ACCEPTED = {
    "project_name": "1 to 60 characters",
    "project_slug": "lower-case letters, digits and single hyphens|would be accepted",
    "description": "1 to 300 characters",
    "author": "1 to 100 characters",
    "python_version": "3.13.*3.11",
    "lock": "requirements",
    "ci": "github.*gitlab",
    "license": "MIT.*Apache",
}


def refused(answers: Answers) -> str:
    """The pattern of a message that names the answer and the accepted values."""
    name = "project_slug" if answers == {"project_name": "日本語"} else next(iter(answers))
    return f"(?s)\\b{name}\\b.*({ACCEPTED[name]})"


# Refused by the same words of the same rule as another of the list: not twice in the fast tests.
ALIKE = {
    "slug-blank", "slug-dots", "slug-home", "slug-underscore", "slug-hyphen-first",
    "slug-hyphen-last", "slug-two-hyphens", "slug-non-ascii-digit", "slug-51", "slug-device",
    "slug-keyword", "slug-mock", "slug-upper-case", "slug-digit-first", "slug-quote", "name-blank",
    "name-unclosed-template", "description-comment",
    "description-carriage-return", "description-escape", "description-line-separator",
    "description-right-to-left", "description-301", "author-tab", "author-101", "lock-unknown",
}  # fmt: skip


@pytest.mark.parametrize(
    "answers", [pytest.param(answers, id=name) for name, answers in BAD_ANSWERS.items()]
)
def test_copier_refuses(lean_template: Path, tmp_path: Path, answers: Answers) -> None:
    with pytest.raises(ValueError, match=refused(answers)) as error:
        with_copier(lean_template, tmp_path / "out/ai-service", answers)
    assert len(str(error.value).splitlines()) == 1
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(answers, id=name, marks=[pytest.mark.slow] if name in ALIKE else [])
        for name, answers in BAD_ANSWERS.items()
    ],
)
def test_cookiecutter_refuses(
    lean_template: Path, tmp_path: Path, answers: Answers, capfd: pytest.CaptureFixture[str]
) -> None:
    output_dir = tmp_path / "out"
    output_dir.mkdir()
    with pytest.raises((ValueError, FailedHookException)) as error:
        with_cookiecutter(lean_template, output_dir, answers)
    said = [*capfd.readouterr().err.splitlines(), *str(error.value).splitlines()]
    assert len([line for line in said if re.search(refused(answers), line)]) == 1, said
    assert list(tree(tmp_path)) == ["out"]


def test_cookiecutters_copy_of_the_template_goes_too(lean_template: Path, tmp_path: Path) -> None:
    """It would be left in the system's temporary directory at every refusal by the hook."""
    (tmp_path / "temporary").mkdir()
    with_another_tmpdir = ["env", f"TMPDIR={tmp_path / 'temporary'}", tool("cookiecutter")]
    command = [*with_another_tmpdir, "--no-input", str(lean_template), "author="]
    run(*command, cwd=tmp_path, check=False)
    assert not list(tmp_path.glob("temporary/cookiecutter*"))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["copier", "copy", "--defaults", "--data"], id="copier"),
        pytest.param(["cookiecutter", "--no-input"], id="cookiecutter"),
    ],
)
@pytest.mark.parametrize("answer", ["project_slug=../evil", "description={{", "ci=jenkins"])
def test_the_commands_fail(
    lean_template: Path, tmp_path: Path, command: list[str], answer: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    arguments = [answer, str(lean_template), "made"]
    if command[0] == "cookiecutter":
        arguments = [str(lean_template), answer]
    output = run(tool(command[0]), *command[1:], *arguments, cwd=work, check=False)
    assert answer.partition("=")[0] in output
    assert list(tree(tmp_path)) == ["work"]


def test_copier_refuses_a_bad_data_file(lean_template: Path, tmp_path: Path) -> None:
    data = tmp_path / "answers.yml"
    data.write_text("project_slug: a/b\n")
    arguments = ["--defaults", f"--data-file={data}", str(lean_template), "made"]
    output = run(tool("copier"), "copy", *arguments, cwd=tmp_path, check=False)
    assert "project_slug" in output
    assert not (tmp_path / "made").exists()


def test_cookiecutter_refuses_a_bad_replay_file(lean_template: Path, tmp_path: Path) -> None:
    """Replayed answers are neither rendered nor compared with the choices by Cookiecutter."""
    replay = tmp_path / "answers.json"
    replay.write_text(
        '{"cookiecutter": {"project_name": "x", "project_slug": "x", "description": "{{ 1 }}", '
        '"author": "x", "python_version": "2.7", "lock": "none", "ci": "none", "license": "?", '
        '"operations": "some", "notebooks": "many"}}'
    )
    arguments = ["--replay-file", str(replay), str(lean_template)]
    output = run(tool("cookiecutter"), *arguments, cwd=tmp_path, check=False)
    for name in ("description", "python_version", "lock", "license", "operations", "notebooks"):
        assert f"{name}: must be" in output
    assert not (tmp_path / "x").exists()


def test_a_refusal_leaves_an_existing_service_alone(lean_template: Path, tmp_path: Path) -> None:
    """Even when Cookiecutter is told to overwrite it."""
    made = with_cookiecutter(lean_template, tmp_path, {})
    before = tree(made)
    command = ["--no-input", "-f", str(lean_template), "author="]
    run(tool("cookiecutter"), *command, cwd=tmp_path, check=False)
    assert tree(made) == before
