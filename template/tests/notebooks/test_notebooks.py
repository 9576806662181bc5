"""The notebooks are parsed and run in the tests."""

import json
import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
README = FOLDER / "README.md"
NAMES = sorted({file.stem for file in FOLDER.iterdir() if file.suffix in {".py", ".ipynb"}})

each_notebook = pytest.mark.parametrize("name", NAMES)


def cells(name: str) -> list[tuple[str, str]]:
    import jupytext  # type: ignore[import-untyped]  # noqa: PLC0415 - it takes half a second

    notebook = jupytext.read(FOLDER / name)
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


@each_notebook
def test_the_two_files_of_a_notebook_say_the_same(name: str) -> None:
    assert cells(f"{name}.py") == cells(f"{name}.ipynb"), "`make format` brings them together"


@each_notebook
def test_a_notebook_is_stored_without_outputs(name: str) -> None:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    kept = [cell for cell in code if cell["outputs"] or cell["execution_count"] is not None]
    assert kept == [], "`make format` removes it"


@each_notebook
async def test_a_notebook_runs_inside_a_running_loop(name: str) -> None:
    runpy.run_path(str(FOLDER / f"{name}.py"))


def test_every_step_is_reached_from_the_readme() -> None:
    linked = re.findall(r"\]\(([^)]+)\)", README.read_text())
    assert [place for place in linked if not (FOLDER / place).exists()] == []
    assert {f"{name}.ipynb" for name in NAMES} <= {*linked}


def test_every_name_in_the_readme_is_in_the_linked_file() -> None:
    named = re.findall(r"\]\(([^)]+\.py)\) `(\w+)`", README.read_text())
    assert len(named) > 10
    gone = [f"{name} in {file}" for file, name in named if name not in (FOLDER / file).read_text()]
    assert gone == []


def test_every_test_that_the_readme_names_exists() -> None:
    tests = "".join(
        (FOLDER.parent / "tests" / file).read_text()
        for file in (
            "telemetry/test_sketch.py",
            "telemetry/test_recent.py",
            "api/test_metrics_endpoint.py",
        )
    )
    named = re.findall(r"`(test_\w+)`", README.read_text())
    assert named
    assert [name for name in named if f"def {name}(" not in tests] == []
