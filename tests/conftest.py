"""A committed and tagged copy of this checkout, and nothing of the developer's own configuration."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import clone_of, clone_of_this_checkout, git, release, run
from tests.renders import Renders, once, shared_by_all_workers, spare_copier_most_of_its_time

pytest_plugins = ["tests.proof", "tests.schedule"]

MOSTLY_ALIKE = {"docs", "evals", "mock_api", "notebooks", "observability", "src", "tests"}


@pytest.fixture(scope="session", autouse=True)
def own_configuration(
    tmp_path_factory: pytest.TempPathFactory,
    sessionpatch: pytest.MonkeyPatch,
    default_gitconfig: object,
) -> None:
    """Cookiecutter and Copier keep settings, clones and replay files at home: give them another home."""
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


@pytest.fixture(scope="session", autouse=True)
def no_proxy_before_this_machine(sessionpatch: pytest.MonkeyPatch) -> None:
    """The tests ask 127.0.0.1, which a company's proxy (HTTP_PROXY) cannot reach."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    for name in ("NO_PROXY", "no_proxy"):
        sessionpatch.setenv(name, f"127.0.0.1,localhost,::1,{named}")


@pytest.fixture(scope="session", autouse=True)
def fast_copier(sessionpatch: pytest.MonkeyPatch) -> None:
    spare_copier_most_of_its_time(sessionpatch)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shared_by_all_workers(tmp_path_factory) / "shared"


@pytest.fixture(scope="session")
def renders(store: Path) -> Renders:
    return Renders(store / "renders")


@pytest.fixture(scope="session")
def template(store: Path) -> Path:
    return once(store / "template", "ai-service-template", clone_of_this_checkout)


@pytest.fixture(scope="session")
def lean_template(store: Path, template: Path) -> Path:
    """A template with all files that answers and updates touch, and a sample of the others.

    Both engines take their time for each file, so this is several times as fast.
    """

    def thin_out(lean: Path) -> None:
        shutil.copytree(template, lean)
        git(lean, "rm", "--quiet", *more_than_one_of_a_kind(lean / "template"))
        for lock in lean.glob("template/requirements*.txt"):
            lock.write_text("one==1.0\n")
        release(lean, "v0.1.1")

    return once(store / "lean", template.name, thin_out)


def more_than_one_of_a_kind(source: Path) -> Iterator[str]:
    seen = set()
    for path in sorted(filter(Path.is_file, source.glob("*/**/*"))):
        where = path.parent.relative_to(source).parts[:2]
        if where in seen and where[0] in MOSTLY_ALIKE:
            yield str(path)
        seen.add(where)


@pytest.fixture(scope="session")
def copier_template_paths() -> list[str]:
    """For pytest-copier, which here only answers questions; by itself it would copy .venv too."""
    return ["copier.yml", "hooks"]


@pytest.fixture
def remote(lean_template: Path, tmp_path: Path) -> Path:
    run("git", "clone", "--quiet", "--bare", str(lean_template), str(tmp_path / "remote.git"))
    return tmp_path / "remote.git"


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Path:
    return clone_of(f"file://{remote}", tmp_path / "clone")
