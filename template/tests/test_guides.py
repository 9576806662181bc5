"""AGENTS.md and CONTRIBUTING.md name only commands, paths and names that exist."""

import re
from pathlib import Path

import pytest

from tests.guides import missing_names, missing_paths, missing_targets
from tests.test_pattern_map import left_out

ROOT = Path(__file__).parents[1]
GUIDES = {name: (ROOT / name).read_text() for name in ("AGENTS.md", "CONTRIBUTING.md")}
MAX_LINES_OF_AGENTS = 80

each_guide = pytest.mark.parametrize("text", GUIDES.values(), ids=GUIDES)


@each_guide
def test_every_path_exists(text: str) -> None:
    assert [path for path in missing_paths(ROOT, text) if not left_out(path)] == []


@each_guide
def test_every_command_exists(text: str) -> None:
    of_leaves = () if (ROOT / "evals").exists() else ("eval",)
    assert missing_targets(ROOT, text, of_leaves) == []


@each_guide
def test_every_name_exists(text: str) -> None:
    assert missing_names(ROOT, text) == []


def test_a_wrong_guide_is_noticed() -> None:
    text = "`make lnit test`, `src/app/wirring.py`, `NoSuchGuard`, [page](docs/nowhere.md)"
    assert missing_targets(ROOT, text) == ["lnit"]
    assert missing_paths(ROOT, text) == ["src/app/wirring.py", "docs/nowhere.md"]
    # In two parts, because a name in this file would exist.
    assert missing_names(ROOT, text.replace("NoSuch", "Miss" + "ing")) == ["Miss" + "ingGuard"]


def test_agents_are_shown_every_recipe_and_few_lines() -> None:
    agents = GUIDES["AGENTS.md"]
    headings = re.findall(r"^## (.+)$", GUIDES["CONTRIBUTING.md"], re.MULTILINE)
    assert re.findall(r"^- \[(.+)\]\(CONTRIBUTING\.md#", agents, re.MULTILINE) == headings
    anchors = [re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    linked = re.findall(r"CONTRIBUTING\.md#([a-z-]+)|\]\(#([a-z-]+)\)", "".join(GUIDES.values()))
    assert {one or other for one, other in linked} == set(anchors)
    assert len(agents.splitlines()) <= MAX_LINES_OF_AGENTS


def test_every_recipe_ends_in_one_command() -> None:
    sections = re.split(r"^## ", GUIDES["CONTRIBUTING.md"], flags=re.MULTILINE)[1:]
    assert len(sections) > 5
    ends = [section.strip().splitlines()[-1] for section in sections]
    assert [end for end in ends if not re.fullmatch(r"Ends in: `make [^`]+`\.", end)] == []


def test_claude_reads_the_same_page_as_other_agents() -> None:
    assert (ROOT / "CLAUDE.md").read_text() == "@AGENTS.md\n"
