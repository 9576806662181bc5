"""AGENTS.md and CONTRIBUTING.md of this repository name only commands, paths and names that exist."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.engines import REPOSITORY, git
from tests.service_modules import service_module

GUIDES = {name: (REPOSITORY / name).read_text() for name in ("AGENTS.md", "CONTRIBUTING.md")}
MAX_LINES_OF_AGENTS = 80
# `.env` is the developer's own: the patch of this recipe makes a new one.
PATCHES = [it.name for it in (REPOSITORY / "tests/recipes").iterdir() if it.stem != "provider"]
each_guide = pytest.mark.parametrize("text", GUIDES.values(), ids=GUIDES)


@pytest.fixture(scope="module")
def guides() -> Any:
    """The checks that the service has for its own guides."""
    return service_module("guides")


@each_guide
def test_every_path_exists(guides: Any, text: str) -> None:
    assert guides.missing_paths(REPOSITORY, text) == []


@each_guide
def test_every_command_exists(guides: Any, text: str) -> None:
    """In the Makefile here, or in that of the service."""
    elsewhere = guides.missing_targets(REPOSITORY / "template", text)
    assert [it for it in guides.missing_targets(REPOSITORY, text) if it in elsewhere] == []


@each_guide
def test_every_name_exists(guides: Any, text: str) -> None:
    assert guides.missing_names(REPOSITORY, text) == []


def test_agents_are_shown_every_recipe_and_few_lines() -> None:
    agents, contributing = GUIDES["AGENTS.md"], GUIDES["CONTRIBUTING.md"]
    sections = re.split(r"^## ", contributing, flags=re.MULTILINE)[1:]
    recipes = [section.splitlines()[0] for section in sections if "Ends in: `make " in section]
    links = re.findall(r"^- \[(.+)\]\(CONTRIBUTING\.md#(.+)\)", agents, re.MULTILINE)
    assert links == [(recipe, recipe.lower().replace(" ", "-")) for recipe in recipes]
    assert len(agents.splitlines()) <= MAX_LINES_OF_AGENTS


def test_claude_reads_the_same_page_as_other_agents() -> None:
    for root in (REPOSITORY, REPOSITORY / "template"):
        assert Path(root, "CLAUDE.md").read_text() == "@AGENTS.md\n"


@pytest.mark.parametrize("patch", sorted(PATCHES))
def test_the_patch_of_a_recipe_applies_to_the_service(patch: str) -> None:
    """`tests/test_recipes.py` shows that it works, and takes minutes."""
    git(REPOSITORY, "apply", "--check", "--directory=template", f"tests/recipes/{patch}")
