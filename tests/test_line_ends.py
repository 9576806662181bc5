"""On a machine where Git turns line ends into CRLF (`core.autocrlf=true`) every file still has LF."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from copier import run_update
from plumbum import local

from tests.engines import git, release, run, tree, with_cookiecutter, with_copier


@pytest.fixture(autouse=True)
def _windows_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[core]\nautocrlf = true\n[user]\nname = t\nemail = t@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    copiers: Any = local.env  # plumbum's copy, made when it was imported
    monkeypatch.setitem(copiers, "GIT_CONFIG_GLOBAL", str(config))


def with_crlf(directory: Path) -> list[str]:
    return [name for name, (_, content) in tree(directory).items() if b"\r\n" in content]


def committed(service: Path) -> Path:
    git(service, "init", "--quiet")
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message=new")
    return service


def test_a_service_and_a_colleagues_clone_of_it_have_lf(
    lean_template: Path, tmp_path: Path
) -> None:
    service = committed(with_copier(lean_template, tmp_path / "service", {}))
    run("git", "clone", "--quiet", str(service), str(tmp_path / "clone"))
    clone = tmp_path / "clone"
    assert with_crlf(service) == with_crlf(clone) == []
    assert "make dev" in run("make", "help", f"PYTHON={shutil.which('python3')}", cwd=clone)
    run("sh", "scripts/conflicts.sh", cwd=clone)


def test_a_clone_of_the_template_and_what_cookiecutter_makes_of_it_have_lf(
    lean_template: Path, tmp_path: Path
) -> None:
    run("git", "clone", "--quiet", str(lean_template), str(tmp_path / "template"))
    assert with_crlf(tmp_path / "template") == []
    assert with_crlf(with_cookiecutter(tmp_path / "template", tmp_path, {})) == []


def test_an_update_brings_lf_and_no_conflict(lean_template: Path, tmp_path: Path) -> None:
    template = shutil.copytree(lean_template, tmp_path / "template")
    service = committed(with_copier(template, tmp_path / "service", {}))
    makefile = template / "template/Makefile"
    makefile.write_text(makefile.read_text() + "\n# of the next version\n")
    release(template, "v0.9.0")
    run_update(service, defaults=True, overwrite=True, quiet=True)
    assert git(service, "diff", "--name-only").split() == [".copier-answers.yml", "Makefile"]
    assert "<<<<<<<" not in git(service, "diff")
    assert with_crlf(service) == []
