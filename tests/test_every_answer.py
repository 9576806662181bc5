"""Every single answer, and every pair of answers, goes the whole way natively: with `make proof`.

That takes the better part of an hour on two cores. `make test` takes the defaults, and a project
without all that may be left out.
"""

import hashlib
import os
import re
from pathlib import Path

import pytest

from tests.engines import git, tree, with_copier
from tests.proof import STAGES, Proof
from tests.questions import QUESTIONS, Answers, pairwise_answers, single_answers
from tests.service import Service, press_ctrl_c

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# What neither the linters nor the running service read. Of these the tests read only the manifests'
# name, and `tests/test_kubernetes.py` builds them with other names.
UNREAD = re.compile(
    r"(\.copier-answers\.yml|README\.md|LICENSE|deploy/kubernetes/base/kustomization\.yaml"
    r"|\.github(/.*)?|\.gitlab-ci\.yml)\Z"
)
UNREAD_QUESTIONS = {"ci", "license"}
# In pyproject.toml these describe the distribution. That each is valid, its own wheel shows.
DESCRIPTIVE = re.compile(
    rb'^(name|description|authors|license|license-files) = ["{\[].*\n', re.MULTILINE
)

SAMPLE = ("3.13-requirements-all-included", "3.11-requirements-none-none")

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
    return found if os.environ.get("PROOF") == "all" else {name: found[name] for name in SAMPLE}


def content(service: Service) -> str:
    """A hash of all that the stages read."""
    digest = hashlib.sha256()
    for name, (mode, text) in tree(service.path).items():
        if not UNREAD.match(name):
            shown = DESCRIPTIVE.sub(b"", text) if name == "pyproject.toml" else text
            digest.update(f"{name} {mode} {len(shown)} ".encode() + shown)
    return digest.hexdigest()


@pytest.mark.parametrize("combinations", groups().values(), ids=groups())
def test_services_are_green(
    template: Path, tmp_path: Path, proof: Proof, combinations: Combinations
) -> None:
    """Each content goes the way once; each combination has its own wheel."""
    went: dict[str, tuple[str, Service]] = {}
    for name in combinations:
        proof.begin(name, *STAGES)
    for name, answers in combinations.items():
        service = Service(with_copier(template, tmp_path / name / "a service", answers))
        first, installed = went.setdefault(content(service), (name, service))
        if installed is service:
            go_the_way(service, name, proof)
        else:
            proof.show(name, *(set(STAGES) - {"built"}), how=f"= {first}")
        build(service, installed)
        proof.show(name, "built")


def go_the_way(service: Service, name: str, proof: Proof) -> None:
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=new")):
        git(service.path, *command)
    service.run("make", "install")
    python = service.run(".venv/bin/python", "--version").split()[1]
    proof.show(name, "installed", how=f"on {python}")
    service.run("make", "lint", "MYPY_WORKERS=0")
    proof.show(name, "linted", "typed")
    # One worker each, since the groups themselves run in parallel.
    passed = re.search(
        r"\d+ passed",
        service.run("env", "PYTEST_XDIST_AUTO_NUM_WORKERS=1", "make", "test", "NATIVE=1"),
    )
    assert passed
    proof.show(name, "tested", how=passed[0])
    with service.running("make", "dev", "NATIVE=1") as make:
        service.wait_until_healthy(make)
        assert "mock API" in service.ask("Hello")["content"]
        press_ctrl_c(make)
    proof.show(name, "ran")


def build(service: Service, installed: Service) -> None:
    """The wheel, with the name, texts and licence of this combination, by the other's tools."""
    python = str(installed.path / ".venv/bin/python")
    service.run(python, "-m", "hatchling", "build", "--target", "wheel")
    assert len(list(service.path.glob("dist/*.whl"))) == 1
