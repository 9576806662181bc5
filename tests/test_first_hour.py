"""From `make new` to the first commit and a refused key, as a new user pastes it, line by line."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import git, run, tool
from tests.test_secrets_hook import KEYS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PLACES = ["my service", "monorepo/services/one"]


@dataclass
class Transcript:
    """A shell of the user, in the directory in which it is at the moment."""

    directory: Path
    output: str = ""

    def paste(self, line: str) -> int:
        """Run one line; the exit code."""
        print(f"$ {line}")
        marker = self.directory.parent / "directory.txt"
        done = subprocess.run(
            ["bash", "-c", f'{line}\ncode=$?; pwd >"$MARKER"; exit $code'],
            cwd=self.directory,
            env={**_clean(), "MARKER": str(marker)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.output = done.stdout
        print(self.output)
        if marker.exists():
            self.directory = Path(marker.read_text().strip())
            marker.unlink()
        return done.returncode


def _clean() -> dict[str, str]:
    """The environment, without what make tells the programs that it runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


@pytest.fixture(params=PLACES)
def shell(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Transcript:
    """In a new service, after the printed lines from `cd` to the first commit."""
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", f"file://{template}", str(clone))
    if "/" in request.param:
        (tmp_path / "monorepo").mkdir()
        git(tmp_path / "monorepo", "init", "--quiet")
    installed = ["COPIER=requirements.txt", f"BIN={Path(tool('python')).parent}"]
    destination = tmp_path / request.param
    printed = run("make", "new", *installed, f"DEST={destination}", "ARGS=--defaults", cwd=clone)
    lines = [line.strip() for line in printed.splitlines() if line.startswith("  ")]
    user = Transcript(tmp_path)
    for line in lines[: lines.index("make test") - 1]:
        assert user.paste(line) == 0, user.output
    assert user.directory == destination
    return user


def subjects(shell: Transcript) -> list[str]:
    return git(shell.directory, "log", "--format=%s").split()


def test_the_pasted_lines_protect_the_service_and_a_key_is_refused(shell: Transcript) -> None:
    assert subjects(shell) == ["New"]
    assert git(shell.directory, "status", "--porcelain") == ""

    (shell.directory / "notes.md").write_text(KEYS["anthropic.py"] + "\n")
    assert shell.paste('git add . && git commit --message "Notes"') != 0
    assert "no key is committed" in shell.output
    assert "notes.md:1:" in shell.output
    assert subjects(shell) == ["New"]

    (shell.directory / "notes.md").write_text("The key is in .env.\n")
    (shell.directory / ".env").write_text("OPENAI_API_KEY=\n")
    assert shell.paste("git add --force .env && git commit --message Env") != 0
    assert ".env is never committed" in shell.output
    assert shell.paste("git rm --quiet --cached .env") == 0
    assert shell.paste("git add notes.md && git commit --message Notes") == 0, shell.output
    assert subjects(shell) == ["Notes", "New"]

    code = shell.directory / "src/app/untidy.py"
    code.write_text("import os\nVALUE  = 'one'\n")
    assert shell.paste("git add src && SKIP=mypy git commit --message Untidy") != 0  # a minute less
    for check in ("ruff", "black"):
        assert f"hook id: {check}" in shell.output
    code.unlink()
    assert shell.paste("git reset --quiet --hard && make clean NATIVE=1") == 0, shell.output
    assert shell.paste("git commit --allow-empty --message Cleaned") == 0, shell.output
    (shell.directory / "notes.md").write_text("More.\n")
    assert shell.paste("git commit --message More notes.md") == 0, shell.output
    assert "make install" in shell.output
    assert subjects(shell) == ["More", "Cleaned", "Notes", "New"]
