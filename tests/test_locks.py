"""The locks: one set of versions for every answer, no address in any lock, each valid for its tool."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.engines import REPOSITORY, run, tool
from tests.questions import chosen
from tests.renders import Renders

TEMPLATE = REPOSITORY / "template"
PIN = re.compile(r"^([a-z0-9.-]+)(?:\[.*\])?==([^\s;]+)", re.MULTILINE)
FILES = {
    "requirements": {"requirements.mk"},
    "poetry": {"poetry.mk", "poetry.sed", "poetry.sh", "poetry.sync.sh", "versions.py", "poetry.lock", "poetry.toml", "requirements-poetry.txt"},
    "uv": {"uv.mk", "first-uv-lock.sh", "versions.py"},
}  # fmt: skip


def pinned(requirements: Path) -> set[tuple[str, str]]:
    return set(PIN.findall(requirements.read_text()))


def locked(lock: Path) -> set[tuple[str, str]]:
    """Without the project itself, which uv.lock names too."""
    packages = tomllib.loads(lock.read_text())["package"]
    return {(p["name"], p["version"]) for p in packages if "editable" not in p.get("source", {})}


def test_poetrys_lock_names_the_versions_of_the_requirements_files() -> None:
    assert locked(TEMPLATE / "poetry.lock") == pinned(TEMPLATE / "requirements-dev.txt")
    assert pinned(TEMPLATE / "requirements.txt") < pinned(TEMPLATE / "requirements-dev.txt")


@pytest.mark.parametrize("name", ["requirements*.txt", "template/*.lock", "template/*.txt"])
def test_no_lock_holds_an_address(name: str) -> None:
    locks = list(REPOSITORY.glob(name))
    assert locks
    assert not [lock for lock in locks if re.search(r"://|--(extra-)?index", lock.read_text())]


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-poetry.txt"]
)
def test_every_version_has_its_hashes(name: str) -> None:
    entries = re.split(r"(?m)^(?=[a-z0-9])", (TEMPLATE / name).read_text())[1:]
    assert entries
    assert not [entry for entry in entries if "--hash=sha256:" not in entry]


@pytest.mark.parametrize("lock", FILES)
def test_only_files_of_the_chosen_lock_are_generated(
    lean_template: Path, renders: Renders, lock: str
) -> None:
    made = renders.by_copier(lean_template, chosen("lock", lock))
    found = {path.name for path in made.rglob("*")}
    assert found & {name for names in FILES.values() for name in names} == FILES[lock]
    assert {"requirements.txt", "requirements-dev.txt"} <= found
    assert not (made / "uv.lock").exists()


def versions(*arguments: Path, check: bool = True) -> str:
    script = TEMPLATE / "scripts/locks/versions.py"
    return run(tool("python"), str(script), *map(str, arguments), check=check)


POETRYS_FORKS = """
[[package]]
name = "one"
version = "1.0"
[[package]]
name = "two"
version = "1.0"
markers = "python_version < '3.12'"
[[package]]
name = "two"
version = "2.0"
markers = {main = "python_version >= '3.12'", dev = "sys_platform == 'win32'"}
"""
UVS_FORKS = """
[[package]]
name = "the-project"
version = "0.1.0"
source = { editable = "." }
[[package]]
name = "two"
version = "1.0"
resolution-markers = ["python_version < '3.12'", "sys_platform == 'win32'"]
[[package]]
name = "two"
version = "2.0"
resolution-markers = ["python_version >= '3.12'"]
"""


@pytest.mark.parametrize(
    ("lock", "constraints"),
    [
        pytest.param(
            POETRYS_FORKS,
            [
                "one==1.0",
                "two==1.0 ; python_version < '3.12'",
                "two==2.0 ; (python_version >= '3.12') or (sys_platform == 'win32')",
            ],
            id="poetry",
        ),
        pytest.param(
            UVS_FORKS,
            [
                "two==1.0 ; (python_version < '3.12') or (sys_platform == 'win32')",
                "two==2.0 ; (python_version >= '3.12')",
            ],
            id="uv",
        ),
    ],
)
def test_a_version_for_some_platforms_stays_one_for_some(
    tmp_path: Path, lock: str, constraints: list[str]
) -> None:
    (tmp_path / "lock").write_text(lock)
    assert versions(tmp_path / "lock").splitlines() == constraints


def test_a_version_that_the_other_lock_does_not_name_is_named(tmp_path: Path) -> None:
    lock, requirements = tmp_path / "lock", tmp_path / "requirements-dev.txt"
    lock.write_text(POETRYS_FORKS)
    requirements.write_text("one==1.0\ntwo[extra]==2.0 ; python_version >= '3.12'\n")
    assert versions(lock, requirements) == ""
    requirements.write_text("one==1.1\ntwo==2.0\n")
    assert "one==1.1; run: make lock" in versions(lock, requirements, check=False)
