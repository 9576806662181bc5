"""The API document of a service has the name and the description that its owner gave."""

import runpy
from pathlib import Path

from tests.renders import Renders

ANSWERS = {"project_name": "Parts Finder", "description": 'Finds "parts" & more.'}


def test_the_service_knows_the_name_and_the_description_of_its_project(
    renders: Renders, template: Path
) -> None:
    service = renders.by_copier(template, ANSWERS)
    found = runpy.run_path(str(service / "src/app/project.py"))["project"]()
    assert (found.name, found.description) == ("parts-finder", ANSWERS["description"])
    assert found.version == "0.1.0"
