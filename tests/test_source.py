"""The source of the template: little Jinja, none of it in Python, and none of it in the output."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.engines import REPOSITORY, git
from tests.questions import AWKWARD, CHOICE_COMBINATIONS, chosen, with_text
from tests.renders import Renders

TEMPLATE = REPOSITORY / "template"
# A legend of Grafana's may be `{{label}}`.
LEGEND = re.compile(r'"legendFormat": "[^"]*"')
# Remains of Jinja. GitHub's `${{ … }}` and Go's `{{.Name}}` are not ours.
LEFTOVER = re.compile(
    r"(?<!\$)\{\{-?\s*[a-z_]+(\s*\||\s*-?\}\})"  # {{ name }} and {{ name | filter
    r"|\{%-?\s*(if|elif|else|endif|for|endfor|set|endset|macro|endmacro|raw|include|import|from)\b"
    r"|\{#.*#\}|=={|}==|_copier_|cookiecutter\."
)


def sources(pattern: str) -> list[Path]:
    """The files that Git would commit: none that a run in place has made."""
    names = git(TEMPLATE, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    return [path for name in names if (path := TEMPLATE / name).match(pattern)]


def test_few_files_are_templated() -> None:
    assert 1 < len(sources("*.jinja")) <= 14


def test_no_python_is_templated() -> None:
    assert sources("*.py.jinja") == []
    assert sources("*.py")
    for path in sources("*.py"):
        ast.parse(path.read_text(), path)


def test_source_files_have_unix_line_ends_and_no_links() -> None:
    """Jinja makes one kind of line end of all, and a zip file makes files of links."""
    for path in sources("*"):
        assert not path.is_symlink(), path
        assert path.is_dir() or b"\r" not in path.read_bytes(), path


def test_no_source_file_is_executable() -> None:
    """Cookiecutter loses the bit when it unpacks a zip file: start scripts by `sh` or `python`."""
    assert not [path for path in sources("*") if path.is_file() and path.stat().st_mode & 0o111]


def test_the_delimiters_for_cookiecutter_are_in_no_source_file() -> None:
    for path in sources("*"):
        assert path.is_dir() or b"=={" not in path.read_bytes(), path


def test_the_template_asks_for_no_trust() -> None:
    """Nothing that runs code of the template in Copier's process, or after it."""
    config = yaml.safe_load((REPOSITORY / "copier.yml").read_text())
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & config.keys()


@pytest.fixture(params=[*CHOICE_COMBINATIONS, *AWKWARD])
def output(
    request: pytest.FixtureRequest, template: Path, lean_template: Path, renders: Renders
) -> Path:
    if request.param in CHOICE_COMBINATIONS:
        return renders.by_copier(template, CHOICE_COMBINATIONS[request.param])
    return renders.by_copier(lean_template, with_text(AWKWARD[request.param]))


def test_the_output_is_valid_and_free_of_template_syntax(output: Path) -> None:
    for path in filter(Path.is_file, output.rglob("*")):
        text = path.read_text()
        parse(path, text)
        rendered = path.suffix != ".py" and path.name != ".copier-answers.yml"
        if rendered and not holds_awkward_text(text):
            found = LEFTOVER.search(LEGEND.sub("", text))
            assert not found, f"{path}: {found}"
    assert not list(output.rglob("*.jinja"))


def parse(path: Path, text: str) -> None:
    if path.suffix == ".py":
        compile(text, path, "exec")
    elif path.suffix == ".toml":
        tomllib.loads(text)
    elif path.suffix == ".json":
        json.loads(text)
    elif path.suffix in {".yml", ".yaml"}:
        list(yaml.safe_load_all(text))


def holds_awkward_text(text: str) -> bool:
    return any(awkward[:60] in text for awkward in AWKWARD.values())


@pytest.mark.parametrize("text", [pytest.param(text, id=kind) for kind, text in AWKWARD.items()])
def test_free_text_arrives_unchanged(lean_template: Path, renders: Renders, text: str) -> None:
    made = renders.by_copier(lean_template, with_text(text))
    project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert project["description"] == text
    assert project["authors"] == [{"name": text[:100]}]
    assert text in (made / "README.md").read_text()
    assert f"Copyright (c) {text[:100]}" in (made / "LICENSE").read_text()
    remembered = yaml.safe_load((made / ".copier-answers.yml").read_text())
    assert remembered["description"] == text


GITLAB = [".gitlab-ci.yml", "renovate.json"]


@pytest.mark.parametrize(
    ("answer", "present", "absent"),
    [
        pytest.param("github", [".github"], GITLAB, id="github"),
        pytest.param("gitlab", GITLAB, [".github"], id="gitlab"),
        pytest.param("none", [], [".github", *GITLAB], id="none"),
    ],
)
def test_only_the_chosen_ci_is_there(
    lean_template: Path, renders: Renders, answer: str, present: list[str], absent: list[str]
) -> None:
    made = renders.by_copier(lean_template, chosen("ci", answer))
    assert all((made / name).exists() for name in present)
    assert not [name for name in absent if (made / name).exists()]


MANIFESTS = {"deploy/kubernetes", "tests/deploy"}
STACK = {"observability", "compose.override.yaml"}


@pytest.mark.parametrize(
    ("answer", "present"),
    [
        pytest.param("all", MANIFESTS | STACK, id="all"),
        pytest.param("kubernetes", MANIFESTS, id="kubernetes"),
        pytest.param("observability", STACK, id="observability"),
        pytest.param("none", set(), id="none"),
    ],
)
def test_manifests_and_dashboards_are_generated_when_chosen(
    lean_template: Path, renders: Renders, answer: str, present: set[str]
) -> None:
    made = renders.by_copier(lean_template, chosen("operations", answer))
    assert {name for name in MANIFESTS | STACK if (made / name).exists()} == present


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param("MIT", ["MIT License", "Copyright (c) Your Team", "NONINFRINGEMENT"]),
        pytest.param("Apache-2.0", ["Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"]),
        pytest.param("Proprietary", ["Copyright (c) Your Team", "All rights reserved"]),
    ],
)
def test_the_licence_is_the_chosen_one(
    lean_template: Path, renders: Renders, answer: str, words: list[str]
) -> None:
    made = renders.by_copier(lean_template, chosen("license", answer))
    assert all(word in (made / "LICENSE").read_text() for word in words)
