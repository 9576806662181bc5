"""The weekly jobs of GitLab that open merge requests: their lines, run by a shell, with a remote of Git."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines import REPOSITORY, git, with_copier

TOKEN = "glpat-canary"  # noqa: S105 - a sample
# Writes down the push options, as GitLab reads them.
HOOK = """#!/bin/sh
for number in 0 1 2; do eval "echo \\$GIT_PUSH_OPTION_$number"; done >>options
"""


@pytest.fixture(scope="module")
def project(lean_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_copier(lean_template, tmp_path_factory.mktemp("gitlab") / "made", {"ci": "gitlab"})


@pytest.fixture(scope="module")
def jobs(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((project / ".gitlab-ci.yml").read_text())
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a remote, without a branch, as a runner has it."""
    work, remote = tmp_path / "work", tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(remote, "config", "receive.advertisePushOptions", "true")
    (remote / "hooks/post-receive").write_text(HOOK)
    (remote / "hooks/post-receive").chmod(0o755)
    git(tmp_path, "clone", "--quiet", str(remote), str(work))
    (work / "requirements.txt").write_text("one==1.0\n")
    (work / "Makefile").write_text(
        "upgrade:\n\techo one==$(VERSION) >requirements.txt; printf '\\0' >new.bin\n"
    )
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message=first")
    git(work, "checkout", "--quiet", "--detach")
    return work


def run(checkout: Path, lines: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    given = {"TARGET": "upgrade", "CI_DEFAULT_BRANCH": "main", "UPGRADE_TOKEN": TOKEN, **variables}
    given["CI_PROJECT_URL"] = str(checkout.parent / "remote")
    return subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)],
        cwd=checkout,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def upgraded(checkout: Path, jobs: dict[str, Any], version: str) -> None:
    """Both jobs, one after the other, as a runner has them: without files of earlier jobs."""
    git(checkout, "clean", "-fdq")
    assert run(checkout, jobs["upgrade"]["script"], VERSION=version).returncode == 0
    git(checkout, "reset", "--quiet", "--hard")
    done = run(checkout, jobs["merge-requests"]["script"])
    assert done.returncode == 0, done.stderr
    git(checkout, "checkout", "--quiet", "--detach", "HEAD^")


def test_changed_and_new_files_become_a_merge_request(checkout: Path, jobs: dict[str, Any]) -> None:
    upgraded(checkout, jobs, "2.0")
    remote = checkout.parent / "remote.git"
    changed = git(remote, "show", "--stat", "--format=%s", "make-upgrade")
    assert all(name in changed for name in ("make upgrade", "requirements.txt", "new.bin"))
    assert "make-upgrade.patch" not in changed
    assert (remote / "options").read_text().splitlines() == [
        "merge_request.create",
        "merge_request.target=main",
        "merge_request.title=make upgrade",
    ]


def test_an_open_merge_request_gets_the_newest_change(checkout: Path, jobs: dict[str, Any]) -> None:
    for version in ("2.0", "3.0"):
        upgraded(checkout, jobs, version)
    remote = checkout.parent / "remote.git"
    assert git(remote, "show", "make-upgrade:requirements.txt") == "one==3.0\n"


def test_the_token_is_stored_nowhere(checkout: Path, jobs: dict[str, Any]) -> None:
    upgraded(checkout, jobs, "2.0")
    files = [path for path in checkout.parent.rglob("*") if path.is_file()]
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    helper = re.search(
        r"credential\.helper='!(f\(\).*); f'", "\n".join(jobs["merge-requests"]["script"])
    )
    assert helper is not None
    asked = subprocess.run(
        ["sh", "-c", f"{helper[1]}; f"],
        env={"UPGRADE_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout == f"username=upgrade\npassword={TOKEN}\n"


@pytest.mark.parametrize(
    ("patch", "token", "result"),
    [
        pytest.param("", TOKEN, (0, "make upgrade: no change"), id="no-change"),
        pytest.param("a change", "", (1, "UPGRADE_TOKEN is missing"), id="no-token"),
    ],
)
def test_without_a_change_or_a_token_nothing_is_pushed(
    checkout: Path, jobs: dict[str, Any], patch: str, token: str, result: tuple[int, str]
) -> None:
    (checkout / "make-upgrade.patch").write_text(patch)
    done = run(checkout, jobs["merge-requests"]["script"], UPGRADE_TOKEN=token)
    said = (done.stdout + done.stderr).partition(": Settings")[0].strip()
    assert (done.returncode, said) == result
    assert git(checkout.parent / "remote.git", "branch") == ""


def test_only_the_job_with_the_environment_needs_the_token(jobs: dict[str, Any]) -> None:
    users = [name for name, job in jobs.items() if "UPGRADE_TOKEN" in str(job)]
    assert users == ["merge-requests"]
    assert jobs["merge-requests"]["environment"]["name"] == "merge-requests"


def test_its_targets_are_in_the_makefile(jobs: dict[str, Any]) -> None:
    makefile = (REPOSITORY / "template/Makefile").read_text()
    matrices = [jobs[name]["parallel"]["matrix"] for name in ("upgrade", "merge-requests")]
    assert matrices[0] == matrices[1]
    for target in matrices[0][0]["TARGET"]:
        assert re.search(rf"^{target}: ", makefile, re.MULTILINE)


def test_renovate_waits_a_week_and_pins_the_images_of_files_that_exist(
    project: Path, template: Path
) -> None:
    config = yaml.safe_load((project / "renovate.json").read_text())
    assert config["minimumReleaseAge"] == "7 days"
    assert "docker:pinDigests" in config["extends"]
    places = {
        "dockerfile": "Dockerfile",
        "docker-compose": "compose.yaml",
        "gitlabci": ".gitlab-ci.yml",
    }
    assert set(config["enabledManagers"]) == set(places)
    assert all((project / name).exists() for name in places.values())
    images = (template / "template/.gitlab-ci.yml.jinja").read_text()
    assert all(
        f"image: {name}:" in images
        for rule in config["packageRules"]
        for name in rule["matchPackageNames"]
    )
