import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PIPELINES = [
    path
    for path in (PROJECT / ".github/workflows/ci.yml", PROJECT / ".gitlab-ci.yml")
    if path.exists()  # a project has the files of one forge, or of none
]


WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_targets_of_the_makefile(workflow: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    run = re.findall(r"^ *- run: make ([a-z-]+)", workflow.read_text(), re.MULTILINE)
    assert [target for target in run if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.name)
def test_ci_runs_targets_of_the_makefile(pipeline: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    run = set(re.findall(r"^ *- (?:run: )?make ([a-z-]+)", pipeline.read_text(), re.MULTILINE))
    assert {"install", "lint", "test", "build"} <= run
    assert [target for target in run if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
