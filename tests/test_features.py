"""A feature of the service is removed as CONTRIBUTING.md of the output says, and everything stays green."""

import re
import shutil
from pathlib import Path

import pytest

from tests.engines import REPOSITORY
from tests.service import Service, generate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

# Of a feature: its directory, its tests, and its cases for the evaluation.
PARTS = ("src/app/features/{}", "tests/features/{}", "evals/{}.py", "tests/evals/test_eval_{}.py")
EXAMPLES = ["ask", "extract"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Service:
    service = generate(tmp_path_factory.mktemp("features") / "a service")
    service.run("make", "install")
    return service


def remove(project: Path, feature: str) -> None:
    for part in PARTS:
        path = project / part.format(feature)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in files_of(project):
        text = path.read_text()
        # The marked lines, the questions of the evaluation, and a section of .env.example.
        changed = re.sub(rf".*# feature: {feature}\n", "", text)
        if path.suffix == ".jsonl":
            changed = re.sub(rf'.*"kind": "{feature}".*\n', "", changed)
        if path.name == ".env.example":
            changed = re.sub(
                rf"# --- [^\n]*\(/v1/{feature}\) -.*?(?=# --- )", "", changed, flags=re.DOTALL
            )
        if changed != text:
            path.write_text(changed)


def files_of(project: Path) -> list[Path]:
    roots = [project / name for name in ("src", "tests", "evals", "scripts")]
    found = [path for root in roots for path in root.rglob("*") if path.suffix in {".py", ".jsonl"}]
    return [*found, project / ".env.example", project / "pyproject.toml"]


@pytest.mark.parametrize("feature", EXAMPLES)
def test_without_an_example_everything_stays_green(installed: Service, feature: str) -> None:
    service = installed.restore()
    remove(service.path, feature)
    service.run("make", "lint", "NATIVE=1")
    service.run("make", "test", "NATIVE=1")
    assert f"/v1/{feature}" not in service.run(
        ".venv/bin/python",
        "-c",
        "from app.main import create_app; from app.settings import Settings;"
        " print(*create_app(Settings()).openapi()['paths'])",
    )


@pytest.mark.parametrize("feature", ["ask", "chat", "embeddings", "extract", "jobs"])
def test_outside_its_directory_few_lines_of_the_service_belong_to_a_feature(feature: str) -> None:
    source = REPOSITORY / "template/src/app"
    marked = {
        path.relative_to(source).as_posix(): path.read_text().count(f"# feature: {feature}\n")
        for path in source.rglob("*.py")
    }
    used_in = {name: count for name, count in marked.items() if count}
    assert used_in.keys() <= {"main.py", "settings.py", "wiring.py"}
    # The import, and the line that uses it.
    assert set(used_in.values()) == {2}
