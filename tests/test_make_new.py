"""`make new`: from a checkout to a service, or to an error of one line."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.engines import differences, git, run, tool, tree, with_copier


@pytest.fixture
def checkout(lean_template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(lean_template, tmp_path / "a checkout")


def make_new(checkout: Path, *arguments: str, check: bool = True) -> str:
    """Without the installation, which has its own test: Copier is there already."""
    installed = ["COPIER=requirements.txt", f"BIN={Path(tool('python')).parent}"]
    return run("make", "new", *installed, *arguments, cwd=checkout, check=check)


def said(output: str) -> list[str]:
    """The lines of the output, without those of make about the tests' way to leave out the installation."""
    return [line for line in output.splitlines() if not line.startswith(("make:", "make["))]


def test_make_new_writes_the_given_answers_to_the_given_directory(
    checkout: Path, tmp_path: Path
) -> None:
    destination = tmp_path / "new services/mine"
    arguments = """--defaults -d project_name="Größe 1" -d ci=none"""
    output = make_new(checkout, f"DEST={destination}", f"ARGS={arguments}")
    assert f"cd '{destination}'" in output
    assert "make dev" in output
    remembered = yaml.safe_load((destination / ".copier-answers.yml").read_text())
    assert remembered["project_name"] == "Größe 1"
    assert remembered["_src_path"] == str(checkout)
    assert git(checkout, "describe", "--tags").strip() == remembered["_commit"]


@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
def test_a_quiet_make_new_prints_nothing(clone: Path, quiet: str) -> None:
    assert said(make_new(clone, "DEST=../made", f"ARGS=--defaults {quiet}")) == []
    assert (clone.parent / "made/README.md").exists()


def test_make_new_prints_a_summary_and_the_next_steps(clone: Path) -> None:
    lines = said(make_new(clone, "DEST=../made", "ARGS=--defaults"))
    count = sum(path.is_file() for path in (clone.parent / "made").rglob("*"))
    assert lines[0] == f"make new: wrote {count} files"
    assert "AI Service is ready. Next:" in lines
    assert "  make install" in lines
    assert len(lines) < 20


def test_with_pretend_nothing_is_written_and_nothing_said(clone: Path) -> None:
    assert said(make_new(clone, "DEST=../made", "ARGS=--defaults --pretend")) == []
    assert not (clone.parent / "made/README.md").exists()


@pytest.fixture
def clone(lean_template: Path, tmp_path: Path) -> Path:
    run("git", "clone", "--quiet", f"file://{lean_template}", str(tmp_path / "clone"))
    return tmp_path / "clone"


def test_make_new_records_the_remote_without_a_warning(clone: Path, lean_template: Path) -> None:
    output = make_new(clone, "DEST=../made", "ARGS=--defaults --answers-file=.other.yml")
    assert output.count("make new:") == 1  # the summary
    remembered = yaml.safe_load((clone.parent / "made/.other.yml").read_text())
    assert remembered["_src_path"] == f"git+file://{lean_template}"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("-d projct_name=X", "'projct_name'; did you mean project_name?"),
        ("-dprojct_name=X", "'projct_name'; did you mean project_name?"),
        ("-ld Project_Name=X", "'Project_Name'; did you mean project_name?"),
        ("-d ci=none --data project-slug=x", "'project-slug'; did you mean project_slug?"),
        ("--data=licence=MIT", "'licence'; did you mean license?"),
        ("--data-file answers.yml", "'notebook'; did you mean notebooks?"),
        ("--data-file=answers.yml", "'notebook'; did you mean notebooks?"),
        ("-d colour=red", "'colour'; there are project_name, project_slug"),
    ],
)
def test_a_misspelt_answer_is_refused_by_name(checkout: Path, arguments: str, meant: str) -> None:
    (checkout / "answers.yml").write_text("ci: none\nnotebook: none\n_commit: v1\n")
    before = tree(checkout.parent)
    output = make_new(checkout, "DEST=../made", f"ARGS=--defaults {arguments}", check=False)
    ours = said(output)
    assert len(ours) == 1, output
    assert f"make new: no question is called {meant}" in ours[0]
    assert tree(checkout.parent) == before


def test_an_answers_file_is_a_data_file(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.yml").write_text("_commit: v9\n_src_path: /no/where\nci: none\n")
    make_new(clone, "DEST=../made", "ARGS=--defaults --data-file ../answers.yml")
    assert yaml.safe_load((tmp_path / "made/.copier-answers.yml").read_text())["ci"] == "none"


def test_make_new_uses_the_checkout_and_warns_about_uncommitted_changes(
    checkout: Path, tmp_path: Path
) -> None:
    (checkout / "template/DRAFT.md").write_text("draft\n")
    output = make_new(checkout, f"DEST={tmp_path / 'made'}", "ARGS=--defaults")
    assert "cannot be updated later" in output
    assert (tmp_path / "made/DRAFT.md").read_text() == "draft\n"


def test_a_tilde_is_the_home_directory(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make_new(checkout, "DEST=~/made", "ARGS=--defaults")
    assert (tmp_path / "home/made/README.md").exists()


def test_a_directory_in_use_is_refused(checkout: Path, tmp_path: Path) -> None:
    used = tmp_path / "in use"
    used.mkdir()
    (used / "README.md").write_text("mine")
    before = tree(used)
    output = make_new(checkout, f"DEST={used}", "ARGS=--defaults", check=False)
    assert f"{used} exists and is not empty" in output
    assert tree(used) == before


def test_without_a_terminal_it_asks_for_dest(checkout: Path) -> None:
    output = make_new(checkout, "ARGS=--defaults", check=False)
    assert "make new DEST=../ai-service" in output


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param("exit 1", "is not Python 3.11 or newer", id="old"),
        pytest.param("case $2 in *ensurepip*) exit 1;; esac", "python3-venv", id="no-venv"),
    ],
)
def test_an_unusable_python_is_an_error_of_a_line_or_two(
    checkout: Path, body: str, found: str
) -> None:
    python = checkout.parent / "python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)
    arguments = ["DEST=../made", f"PYTHON={python}", "ARGS=--defaults"]
    output = run("make", "new", *arguments, cwd=checkout, check=False)
    ours = [line for line in output.splitlines() if "***" not in line]
    assert len(ours) <= 2, output
    assert found in ours[-1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_make_new_needs_python_make_and_git_only(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installs once, asks nothing, writes nothing at home; `in-place` then renders in the checkout."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("VIRTUAL_ENV", "PIP_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    checkout = shutil.copytree(template, tmp_path / "checkout")
    command = ["make", "new", "DEST=../made", "ARGS=--defaults"]
    assert "Installing requirements.txt into .venv, once" in run(*command, cwd=checkout)
    expected = with_copier(template, tmp_path / "expected", {})
    assert differences(tree(expected), tree(tmp_path / "made")) == [".copier-answers.yml"]

    command[2] = "DEST=../again"
    assert "Installing" not in run(*command, cwd=checkout)
    refusal = run(
        "make", "new", "DEST=../bad", "ARGS=-d ci=x --defaults", cwd=checkout, check=False
    )
    assert "Invalid choice for 'ci'" in refusal
    assert "Traceback" not in refusal

    run("make", "in-place", cwd=checkout)
    for name in ("pyproject.toml", "README.md", "Dockerfile", "LICENSE", ".python-version"):
        assert (checkout / "template" / name).read_bytes() == (expected / name).read_bytes()
    assert git(checkout, "status", "--porcelain") == ""
    # pip asks rustc for its version, and where that is a shim it leaves this behind.
    assert {path.name for path in (tmp_path / "home").iterdir()} <= {".rustup"}


def test_generation_needs_no_network(lean_template: Path, tmp_path: Path) -> None:
    cut_off = ["unshare", "--map-root-user", "--net"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*cut_off, "true"], check=False).returncode
    ):
        pytest.skip("this machine does not let a user cut off the network (unshare)")
    assert "NO NETWORK" in run(*cut_off, "sh", "-c", "ip route get 192.0.2.1 || echo NO NETWORK")
    copier = [tool("copier"), "copy", "--defaults", str(lean_template), str(tmp_path / "made")]
    run(*cut_off, *copier)
    cookiecutter = [tool("cookiecutter"), "--no-input", str(lean_template), "-o", str(tmp_path)]
    run(*cut_off, *cookiecutter)
    assert differences(tree(tmp_path / "made"), tree(tmp_path / "ai-service")) == []
