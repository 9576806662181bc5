"""The files for editors: each command, path, task and service that they name exists."""

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines import run
from tests.renders import Renders

MODULES_OF_PACKAGES = {"pytest"}


@pytest.fixture
def project(template: Path, renders: Renders) -> Path:
    return renders.by_copier(template, {})


def read(project: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / name).read_text())
    return found


def targets(project: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (project / "Makefile").read_text(), re.MULTILINE))


def test_each_task_is_a_target_of_make(project: Path) -> None:
    for task in read(project, ".vscode/tasks.json")["tasks"]:
        make, target, *_ = task["command"].split()
        assert make == "make"
        assert target in targets(project)


def test_each_launch_names_a_module_and_a_task_that_exist(project: Path) -> None:
    labels = {task["label"] for task in read(project, ".vscode/tasks.json")["tasks"]}
    launches = read(project, ".vscode/launch.json")["configurations"]
    assert {launch["type"] for launch in launches} == {"debugpy"}
    assert {launch["preLaunchTask"] for launch in launches if "preLaunchTask" in launch} <= labels
    modules = {launch["module"] for launch in launches if "module" in launch}
    assert all(
        (project / "src" / module / "__main__.py").exists()
        for module in modules - MODULES_OF_PACKAGES
    )


def test_the_task_that_a_launch_waits_for_ends_its_wait_with_a_line_of_the_mock(
    project: Path,
) -> None:
    """Uvicorn writes these lines; `make mock` does not change its log."""
    (mock,) = (t for t in read(project, ".vscode/tasks.json")["tasks"] if t["label"] == "mock")
    background = mock["problemMatcher"]["background"]
    assert re.search(background["beginsPattern"], "INFO:     Started server process [1]")
    assert re.search(background["endsPattern"], "INFO:     Application startup complete.")


def test_the_editor_attaches_at_the_port_of_the_container(project: Path) -> None:
    launches = read(project, ".vscode/launch.json")["configurations"]
    (attach,) = (launch for launch in launches if launch["request"] == "attach")
    app = yaml.safe_load((project / "compose.yaml").read_text())["services"]["app"]
    assert app["environment"]["DEBUG_PORT"] == f"${{DEBUG_PORT:+{attach['connect']['port']}}}"
    assert f"127.0.0.1:${{DEBUG_PORT:-}}:{attach['connect']['port']}" in app["ports"]
    assert attach["pathMappings"] == [{"localRoot": "${workspaceFolder}", "remoteRoot": "."}]


def test_the_interpreter_and_the_formatters_are_those_of_make(project: Path) -> None:
    settings = read(project, ".vscode/settings.json")
    assert "\nBIN := .venv/bin\n" in (project / "Makefile").read_text()
    assert settings["python.defaultInterpreterPath"] == "${workspaceFolder}/.venv/bin/python"
    assert all((project / path).is_dir() for path in settings["python.testing.pytestArgs"])
    recommended = read(project, ".vscode/extensions.json")["recommendations"]
    assert settings["[python]"]["editor.defaultFormatter"] in recommended
    container = read(project, ".devcontainer/devcontainer.json")
    assert container["customizations"]["vscode"]["extensions"] == recommended


def test_the_dev_container_is_the_service_of_compose(project: Path) -> None:
    config = read(project, ".devcontainer/devcontainer.json")
    folder = project / ".devcontainer"
    base, own = (
        yaml.safe_load((folder / name).read_text()) for name in config["dockerComposeFile"]
    )
    service, added = base["services"][config["service"]], own["services"][config["service"]]
    assert f".:{config['workspaceFolder']}" in service["volumes"]
    dockerfile = (project / "Dockerfile").read_text()
    stage = dockerfile.split(f" AS {added['build']['target']}\n")[1].split("\nFROM ")[0]
    assert re.search(rf"useradd .*\b{config['remoteUser']}\b", stage)
    assert config["remoteUser"] == added["user"]
    # The volume gets the mode of the directory in the image: another user id may write to it.
    assert [f"venv:{config['workspaceFolder']}/.venv"] == added["volumes"]
    assert f"mkdir --mode 777 {config['workspaceFolder']}/.venv" in stage
    make, target = config["postCreateCommand"].split()
    assert make == "make"
    assert target in targets(project)


@pytest.mark.parametrize("exists", [True, False], ids=["again", "first"])
def test_the_dev_container_has_a_directory_for_its_environment(
    project: Path, tmp_path: Path, *, exists: bool
) -> None:
    """Docker would make it as root, and an install without the container would then fail."""
    if exists:
        (tmp_path / ".venv").mkdir()
    run(
        "sh",
        "-c",
        read(project, ".devcontainer/devcontainer.json")["initializeCommand"],
        cwd=tmp_path,
    )
    assert [path.name for path in tmp_path.iterdir()] == [".venv"]


@pytest.mark.parametrize("name", [".vscode/launch.json", ".devcontainer/compose.yaml"])
def test_git_takes_the_files_of_editors(project: Path, tmp_path: Path, name: str) -> None:
    run("git", "init", "--quiet", cwd=tmp_path)
    (tmp_path / ".gitignore").write_text((project / ".gitignore").read_text())
    run("git", "check-ignore", "--quiet", name, cwd=tmp_path, check=False)
    assert (project / name).exists()


def test_editors_indent_as_the_formatters_do(project: Path) -> None:
    text = (project / ".editorconfig").read_text()
    sections = configparser.ConfigParser()
    sections.read_string(f"[top]\n{text}")
    black = re.search(
        r"^\[tool\.black\]\nline-length = (\d+)",
        (project / "pyproject.toml").read_text(),
        re.MULTILINE,
    )
    assert black is not None
    assert sections["*.py"]["max_line_length"] == black[1]
    assert sections["{Makefile,*.mk}"]["indent_style"] == "tab"
    assert sections["*"]["end_of_line"] == "lf"
