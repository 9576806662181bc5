"""The next steps that are printed can be pasted into a shell, wherever the service is."""

import shutil
import subprocess
from pathlib import Path

import pytest
from bridge.config import copier_jinja, read_config

from tests.engines import REPOSITORY, git
from tests.questions import QUESTIONS

SHELLS = {
    "sh": ["sh"],
    "bash": ["bash", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],  # which knows no comments
}
AWKWARD = ["plain", "with space", 'it\'s $HOME `id` "x" #1 !! (é)']


def printed(service: Path) -> str:
    message = read_config(REPOSITORY)["_message_after_copy"]
    return copier_jinja(REPOSITORY).from_string(message).render(
        project_name="It's ready", _copier_conf={"dst_path": service}
    )  # fmt: skip


def paste(shell: str, service: Path, tmp_path: Path) -> str:
    """Paste the indented lines into a shell in another directory; the fake `make` prints its arguments."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin/make"
    make.write_text('#!/bin/sh\necho "make $1 in $PWD"\n')
    make.chmod(0o755)
    lines = [line for line in printed(service).splitlines() if line.startswith("  ")]
    done = subprocess.run(
        ["env", f"PATH={make.parent}:/usr/local/bin:/usr/bin:/bin", *SHELLS[shell]],
        input="\n".join([*lines, "exit", ""]),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,  # an interactive shell takes the terminal
    )
    return done.stdout


def new_service(directory: Path) -> Path:
    directory.mkdir(parents=True)
    (directory / "README.md").write_text("new\n")
    return directory


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", AWKWARD)
def test_the_next_steps_make_a_repository_with_one_commit(
    shell: str, name: str, tmp_path: Path
) -> None:
    service = new_service(tmp_path / "services" / name)
    output = paste(shell, service, tmp_path)
    assert git(service, "log", "--format=%s").split() == ["New"]
    assert git(service, "rev-parse", "--show-toplevel").strip() == str(service)
    assert git(service, "status", "--porcelain") == ""
    for target in ("install", "test", "dev"):
        assert f"make {target} in {service}" in output


def repository_around(tmp_path: Path, ignored: str = "") -> Path:
    around = new_service(tmp_path / "around")
    git(around, "init", "--quiet")
    (around / ".gitignore").write_text(ignored)
    git(around, "add", "--all")
    git(around, "commit", "--quiet", "--message=around")
    return around


def test_inside_a_repository_the_service_becomes_a_part_of_it(tmp_path: Path) -> None:
    """Other staged and changed files of that repository stay as they are."""
    around = repository_around(tmp_path)
    (around / "staged.md").write_text("staged\n")
    git(around, "add", "staged.md")
    service = new_service(around / "services/one")
    paste("sh", service, tmp_path)
    assert git(service, "rev-parse", "--show-toplevel").strip() == str(around)
    committed = git(around, "show", "--format=", "--name-only").split()
    assert committed == ["services/one/README.md"]
    assert git(around, "status", "--porcelain") == "A  staged.md\n"


def test_inside_a_repository_that_ignores_it_the_service_has_its_own(tmp_path: Path) -> None:
    service = new_service(repository_around(tmp_path, ignored="services/\n") / "services/one")
    paste("sh", service, tmp_path)
    assert git(service, "rev-parse", "--show-toplevel").strip() == str(service)
    assert git(service, "log", "--format=%s").split() == ["New"]


def test_the_hook_is_installed_before_the_first_commit(tmp_path: Path) -> None:
    lines = [line.strip() for line in printed(tmp_path).splitlines()]
    (first,) = [at for at, line in enumerate(lines) if "git commit" in line]
    (init,) = [at for at, line in enumerate(lines) if "git init" in line]
    assert init < lines.index("make install") < first < lines.index("make test")


def test_the_next_steps_fit_a_terminal() -> None:
    assert max(map(len, printed(Path("../my-service")).splitlines())) < 80


def test_no_printed_line_starts_a_command_of_its_own(tmp_path: Path) -> None:
    """A shell without interactive comments reads their words as a command."""
    comments = [line for line in printed(tmp_path).splitlines() if "#" in line]
    assert comments
    for line in comments:
        words = line.strip().removeprefix("# ").replace(" ", "")
        assert words.translate(str.maketrans("", "", ",:-")).isalnum(), line


@pytest.mark.parametrize("name", [name for name in QUESTIONS if "validator" in QUESTIONS[name]])
@pytest.mark.parametrize("answer", ["", "fastapi", "A_B", "{{", "x" * 301])
def test_a_refusal_fits_a_terminal(name: str, answer: str) -> None:
    rule = copier_jinja(REPOSITORY).from_string(QUESTIONS[name]["validator"])
    assert len(rule.render({name: answer}).strip()) < 80
