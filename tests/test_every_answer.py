"""Every single answer, and every pair of answers, goes the whole way natively."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.engines import git, tree, with_copier
from tests.proof import Proof
from tests.questions import QUESTIONS, Answers, pairwise_answers, single_answers
from tests.service import Service, press_ctrl_c

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# What neither the linters, nor the tests, nor the running service read.
UNREAD = re.compile(r"(\.copier-answers\.yml|README\.md|LICENSE|\.github(/.*)?|\.gitlab-ci\.yml)\Z")
UNREAD_QUESTIONS = {"ci", "license"}
# In pyproject.toml these describe the distribution. That each is valid, its own wheel shows.
DESCRIPTIVE = re.compile(
    rb'^(name|description|authors|license|license-files) = ["{\[].*\n', re.MULTILINE
)

# The service that went the way, for each content. One worker sees all that have it: see `group`.
went: dict[str, tuple[str, Service]] = {}


def group(answers: Answers) -> str:
    """Combinations that may have the same content run one after the other on one worker."""
    chosen = {
        name: answers.get(name, question["default"])
        for name, question in QUESTIONS.items()
        if "choices" in question and name not in UNREAD_QUESTIONS
    }
    return "-".join(chosen.values())


def content(service: Service) -> str:
    """A hash of all that the stages read."""
    digest = hashlib.sha256()
    for name, (mode, text) in tree(service.path).items():
        if not UNREAD.match(name):
            shown = DESCRIPTIVE.sub(b"", text) if name == "pyproject.toml" else text
            digest.update(f"{name} {mode} {len(shown)} ".encode() + shown)
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        pytest.param(name, answers, id=name, marks=pytest.mark.xdist_group(group(answers)))
        for name, answers in [*single_answers(), *pairwise_answers()]
    ],
)
def test_a_service_is_green(
    template: Path, tmp_path: Path, proof: Proof, name: str, answers: Answers
) -> None:
    proof.begin(name)
    service = Service(with_copier(template, tmp_path / "a service", answers))
    key = content(service)
    if key not in went:
        went[key] = (name, service)
        go_the_way(service, proof)
    else:
        same, _ = went[key]
        proof.show("installed", "linted", "typed", "tested", "ran", how=f"= {same}")
    build(service, went[key][1])
    proof.show("built")


def go_the_way(service: Service, proof: Proof) -> None:
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message=new")):
        git(service.path, *command)
    service.run("make", "install")
    python = service.run(".venv/bin/python", "--version").split()[1]
    proof.show("installed", how=f"on {python}")
    service.run("make", "lint")
    proof.show("linted", "typed")
    # One worker each, since the combinations themselves run in parallel.
    passed = re.search(
        r"\d+ passed",
        service.run("env", "PYTEST_XDIST_AUTO_NUM_WORKERS=1", "make", "test", "NATIVE=1"),
    )
    assert passed
    proof.show("tested", how=passed[0])
    with service.running("make", "dev", "NATIVE=1") as make:
        service.wait_until_healthy(make)
        assert "mock API" in service.ask("Hello")["content"]
        press_ctrl_c(make)
    proof.show("ran")


def build(service: Service, installed: Service) -> None:
    """The wheel, with the name, texts and licence of this combination, by the other's tools."""
    python = str(installed.path / ".venv/bin/python")
    service.run(python, "-m", "hatchling", "build", "--target", "wheel")
    assert len(list(service.path.glob("dist/*.whl"))) == 1
