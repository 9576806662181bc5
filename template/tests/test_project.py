from pathlib import Path

from app.project import Project, project, project_name
from tests.running_service import RunningService

PROJECT = Path(__file__).parents[1]


def test_the_name_is_the_one_of_the_project() -> None:
    assert f'\nname = "{project_name()}"\n' in (PROJECT / "pyproject.toml").read_text()


def test_a_given_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "café-shop"\n', "utf-8")
    assert project(tmp_path / "pyproject.toml").name == "café-shop"


def test_the_version_and_the_description_are_the_ones_of_the_project(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "x"\nversion = "2.1"\ndescription = "Sells."\n')
    assert project(file) == Project("x", "2.1", "Sells.")


def test_a_version_that_is_not_in_the_file_is_the_one_of_the_installed_package(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[project]\nname = "x"\ndynamic = ["version"]\n')
    assert project(file).name == "x"
    assert project(file).version == project(tmp_path / "none.toml").version


def test_without_the_file_there_is_a_default_name(tmp_path: Path) -> None:
    assert project(tmp_path / "pyproject.toml").name


def test_without_a_project_in_the_file_there_is_a_default_name(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest]\n")
    assert project(tmp_path / "pyproject.toml") == project(tmp_path / "none.toml")


def test_the_image_has_the_file() -> None:
    assert "COPY pyproject.toml /app/pyproject.toml\n" in (PROJECT / "Dockerfile").read_text()
    assert "!pyproject.toml" in (PROJECT / ".dockerignore").read_text().splitlines()


async def test_the_document_has_the_name_the_version_and_the_description_of_the_project(
    service: RunningService,
) -> None:
    info = (await service.http.get("/openapi.json")).json()["info"]
    declared = project()
    assert info == {
        "title": declared.name,
        "version": declared.version,
        "description": declared.description,
    }
