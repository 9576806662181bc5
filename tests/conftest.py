"""A committed and tagged copy of this checkout, and nothing of the developer's own configuration."""

import json
import shutil
from pathlib import Path

import pytest

from tests.engines import clone_of_this_checkout, release

pytest_plugins = ["tests.proof", "tests.schedule"]


@pytest.fixture(scope="session", autouse=True)
def own_configuration(
    tmp_path_factory: pytest.TempPathFactory,
    sessionpatch: pytest.MonkeyPatch,
    default_gitconfig: object,
) -> None:
    """Cookiecutter and Copier keep settings, clones and replay files at home: not at this home."""
    assert default_gitconfig  # pytest-copier hides the developer's Git configuration
    home = tmp_path_factory.mktemp("home")
    settings = {
        "cookiecutters_dir": str(home / "cookiecutters"),
        "replay_dir": str(home / "replay"),
    }
    (home / "cookiecutterrc").write_text(json.dumps(settings))
    (home / "copier.yml").write_text("{}")
    sessionpatch.setenv("COOKIECUTTER_CONFIG", str(home / "cookiecutterrc"))
    sessionpatch.setenv("COPIER_SETTINGS_PATH", str(home / "copier.yml"))
    sessionpatch.setenv("COPIER_CACHE_DIR", str(home / "copier-mirrors"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone_of_this_checkout(tmp_path_factory.mktemp("template") / "ai-service-template")


@pytest.fixture(scope="session")
def lean_template(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """Without the modules and locked names that no answer touches: half the time for each test."""
    lean = tmp_path_factory.mktemp("lean") / template.name
    shutil.copytree(template, lean)
    for path in lean.glob("template/*/**/*.py"):
        if path.name != "__init__.py":
            path.unlink()
    for lock in lean.glob("template/requirements*.txt"):
        lock.write_text("one==1.0\n")
    release(lean, "v0.1.1")
    return lean


@pytest.fixture(scope="session")
def copier_template_paths() -> list[str]:
    """For pytest-copier, which here only answers questions; by itself it would copy .venv too."""
    return ["copier.yml", "hooks"]
