"""Every answer, and every pair of answers, is generated, installed, linted and tested natively.

A stage that passed for some bytes is not repeated for the same bytes: see `tests/common_tests.py` for
the tests. Installing, linting and typing are done for each, with the caches of the tools.
"""

import re
from pathlib import Path

import pytest

from tests.common_tests import CommonTests, number_passed
from tests.engines import differences, digest, tree
from tests.proof import STAGES, Proof
from tests.questions import QUESTIONS, Answers, pairwise_answers, single_answers
from tests.renders import Renders
from tests.service import POETRY, Service, press_ctrl_c
from tests.workshop import Workshop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Files that neither the linters nor the running service read. The tests read only the manifests'
# name, and `tests/test_kubernetes.py` builds them with other names.
UNREAD = re.compile(
    r"(\.copier-answers\.yml|README\.md|LICENSE|deploy/kubernetes/base/kustomization\.yaml"
    r"|\.github(/.*)?|\.gitlab-ci\.yml|renovate\.json)\Z"
)
UNREAD_QUESTIONS = {"ci", "license"}
# In pyproject.toml these describe the distribution. That each is valid, its own wheel shows.
DESCRIPTIVE = re.compile(
    rb'^(name|description|authors|license|license-files) = ["{\[].*\n', re.MULTILINE
)

Combinations = dict[str, Answers]


def groups() -> dict[str, Combinations]:
    """Combinations that may have the same content, by the answers that make a difference."""
    found: dict[str, Combinations] = {}
    for name, answers in [*single_answers(), *pairwise_answers()]:
        chosen = [
            answers.get(question, asked["default"])
            for question, asked in QUESTIONS.items()
            if "choices" in asked and question not in UNREAD_QUESTIONS
        ]
        found.setdefault("-".join(chosen), {})[name] = answers
    return found


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="session")
def common_tests(template: Path, renders: Renders, workshop: Workshop) -> CommonTests:
    default = tree(renders.by_copier(template, {}))
    unchanged = set(default)
    for _, answers in single_answers():
        unchanged -= {*differences(default, tree(renders.by_copier(template, answers)))}
    return CommonTests(workshop, unchanged)


def content(project: Path) -> str:
    """A hash of all that the stages read."""
    read = {name: found for name, found in tree(project).items() if not UNREAD.match(name)}
    mode, text = read["pyproject.toml"]
    return digest({**read, "pyproject.toml": (mode, DESCRIPTIVE.sub(b"", text))})


@pytest.mark.parametrize(("group", "combinations"), groups().items(), ids=groups())
def test_services_are_green(
    *,
    template: Path,
    renders: Renders,
    common_tests: CommonTests,
    tmp_path: Path,
    proof: Proof,
    group: str,
    combinations: Combinations,
) -> None:
    """Each content goes the way once; each combination has its own wheel."""
    went: dict[str, str] = {}
    for name in combinations:
        proof.begin(name, *STAGES)
    for name, answers in combinations.items():
        project = renders.by_copier(template, answers)
        first = went.setdefault(content(project), name)
        if first == name:
            python, lock, *_ = group.split("-")
            common_tests.workshop.take(project, f"{python}-{lock}")
            go_the_way(common_tests, name, proof)
        else:
            proof.show(name, *(set(STAGES) - {"built"}), how=f"= {first}")
        build(project, common_tests.workshop, tmp_path / name)
        proof.show(name, "built")


def go_the_way(common_tests: CommonTests, name: str, proof: Proof) -> None:
    service = common_tests.workshop.service
    service.run("make", "install", POETRY)
    python = service.run(".venv/bin/python", "--version").split()[1]
    proof.show(name, "installed", how=f"on {python}")
    service.run("make", "lint", POETRY, "MYPY_WORKERS=0")
    proof.show(name, "linted", "typed")
    proof.show(name, "tested", how=run_the_tests(common_tests, name))
    with service.running("make", "dev", "NATIVE=1") as make:
        service.wait_until_healthy(make)
        assert "mock API" in service.ask("Hello")["content"]
        press_ctrl_c(make)
    proof.show(name, "ran")


def run_the_tests(common_tests: CommonTests, name: str) -> str:
    common = common_tests.run(name)
    others = " ".join(common_tests.others())
    output = common_tests.workshop.service.run("make", "test", "NATIVE=1", f"ARGS={others}")
    passed = number_passed(output)
    if common.combination == name:
        return f"{common.number + passed} passed"
    return f"{passed} passed, {common.number} = {common.combination}"


def build(project: Path, workshop: Workshop, directory: Path) -> None:
    """The wheel, with the name, texts and licence of this combination."""
    python = str(workshop.service.path / ".venv/bin/python")
    wheel = [python, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    Service(project).run(*wheel, str(directory))
    assert len(list(directory.glob("*.whl"))) == 1
