"""The name, version and description of this service, from its `pyproject.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions
from pathlib import Path

# `pyproject.toml` is beside `src/`, in the repository and in the image.
_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Project:
    name: str
    version: str
    description: str


@cache
def project(pyproject: Path = _PYPROJECT) -> Project:
    """The project; without a name and a version in `pyproject.toml`, those of the installed package."""
    found = tomllib.loads(pyproject.read_text("utf-8")) if pyproject.is_file() else {}
    table: dict[str, str] = found.get("project", {})
    if not table.get("name") or not table.get("version"):
        table = {**_installed(), **table}
    return Project(table["name"], table["version"], table.get("description", ""))


def project_name() -> str:
    return project().name


def _installed() -> dict[str, str]:
    name = next(iter(packages_distributions().get("app", ())), "app")
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return {"name": name, "version": "0"}
    return {"name": name, "version": found["Version"], "description": found["Summary"] or ""}
