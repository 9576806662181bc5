"""The generated pipeline, read as GitLab reads it. No other test here does."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines import run, with_copier

# Words that GitLab understands at the top of the file: no job can be called so.
KEYWORDS = {
    "after_script", "before_script", "cache", "default", "image", "include", "pages", "services", "spec",
    "stages", "types", "variables", "workflow",
}  # fmt: skip
SETTINGS = {"stages", "workflow"}
RULES = {
    "$CI_COMMIT_TAG =~ /^v/": "tag",
    '$CI_PIPELINE_SOURCE == "schedule"': "schedule",
    '$CI_PIPELINE_SOURCE != "schedule"': "commit",
}


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_copier(template, tmp_path_factory.mktemp("gitlab") / "made", {"ci": "gitlab"})


@pytest.fixture(scope="module")
def jobs(project: Path) -> dict[str, dict[str, Any]]:
    """The jobs by name, with the templates that they extend."""
    read = yaml.safe_load((project / ".gitlab-ci.yml").read_text())
    return {name: extended(read, name) for name in read if name not in SETTINGS and name[0] != "."}


def extended(read: dict[str, Any], name: str) -> dict[str, Any]:
    bases = read[name].get("extends", [])
    bases = [bases] if isinstance(bases, str) else bases
    inherited = [extended(read, base) for base in bases]
    return {key: value for part in [*inherited, read[name]] for key, value in part.items()}


def pipeline(job: dict[str, Any]) -> str:
    (rule,) = job["rules"]
    return RULES[rule["if"]]


def test_no_job_has_the_name_of_a_keyword(jobs: dict[str, dict[str, Any]]) -> None:
    assert not KEYWORDS & jobs.keys()
    assert all(job["script"] for job in jobs.values())


def test_a_commit_is_checked_and_built(jobs: dict[str, dict[str, Any]]) -> None:
    assert {name for name, job in jobs.items() if pipeline(job) == "commit"} == {"check", "build"}


def test_a_tag_is_released(jobs: dict[str, dict[str, Any]]) -> None:
    assert {name for name, job in jobs.items() if pipeline(job) == "tag"} == {"sbom", "release"}


def test_a_schedule_scans_compares_prices_and_upgrades_and_does_nothing_else(
    jobs: dict[str, dict[str, Any]],
) -> None:
    assert {name for name, job in jobs.items() if pipeline(job) == "schedule"} == {
        "scan",
        "prices",
        "chaos",
        "upgrade",
        "merge-requests",
        "faults",
    }
    assert jobs["faults"]["script"] == ["make faults"]
    assert jobs["chaos"]["script"] == ["make chaos"]
    assert jobs["scan"]["script"] == ["make scan"]
    assert jobs["prices"]["script"] == ["make prices NEWEST=1 ARGS=--check"]
    assert all("make install" in jobs[name]["before_script"] for name in ("scan", "prices"))


def test_each_chore_of_the_pipeline_is_one_of_the_makefile(
    project: Path, jobs: dict[str, dict[str, Any]]
) -> None:
    lines = [line for job in jobs.values() for line in [*job["before_script"], *job["script"]]]
    targets = {line.split()[1] for line in lines if line.startswith("make ")} - {'"$TARGET"'}
    targets |= {
        target for each in jobs["upgrade"]["parallel"]["matrix"] for target in each["TARGET"]
    }
    assert targets == {
        *{"install", "lint", "coverage", "test", "scan", "prices", "chaos", "faults", "build"},
        *{"sbom", "upgrade", "update"},
    }
    run("make", "--dry-run", *targets, cwd=project)


@pytest.mark.parametrize("notebooks", ["included", "none"])
def test_notebooks_are_run_where_there_are_some(
    lean_template: Path, tmp_path: Path, notebooks: str
) -> None:
    made = with_copier(lean_template, tmp_path / "made", {"ci": "gitlab", "notebooks": notebooks})
    runs = "--nbmake notebooks" in (made / ".gitlab-ci.yml").read_text()
    assert runs is (made / "notebooks").exists() is (notebooks == "included")
