"""`make new`: from a checkout and nothing else to a service, or to one line that says what is wrong."""

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
    installed = ["COPIER=requirements.txt", f"RUN_COPIER={tool('copier')}"]
    return run("make", "new", *installed, *arguments, cwd=checkout, check=check)


def test_it_writes_where_it_is_told_what_it_is_told(checkout: Path, tmp_path: Path) -> None:
    destination = tmp_path / "new services/mine"
    arguments = """--defaults -d project_name="Größe 1" -d ci=none"""
    output = make_new(checkout, f"DEST={destination}", f"ARGS={arguments}")
    assert f'cd "{destination}"' in output
    assert "make dev" in output
    remembered = yaml.safe_load((destination / ".copier-answers.yml").read_text())
    assert remembered["project_name"] == "Größe 1"
    assert remembered["_src_path"] == str(checkout)
    assert git(checkout, "describe", "--tags").strip() == remembered["_commit"]


def test_it_makes_what_is_in_the_checkout_and_says_when_that_is_not_committed(
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
def test_a_python_that_will_not_do_is_one_line(checkout: Path, body: str, found: str) -> None:
    python = checkout.parent / "python"
    python.write_text(f"#!/bin/sh\n{body}\n")
    python.chmod(0o755)
    arguments = ["DEST=../made", f"PYTHON={python}", "ARGS=--defaults"]
    output = run("make", "new", *arguments, cwd=checkout, check=False)
    ours = [line for line in output.splitlines() if "***" not in line]
    assert len(ours) == 1, output
    assert found in ours[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_nothing_but_python_make_and_git(
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
