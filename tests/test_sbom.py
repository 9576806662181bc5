"""`make sbom` writes valid CycloneDX, by the schema that CycloneDX publishes."""

import json
import re
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.engines import REPOSITORY, run
from tests.renders import Renders

LOCK = REPOSITORY / "template/requirements.txt"


@pytest.fixture
def sbom(lean_template: Path, renders: Renders, tmp_path: Path) -> str:
    service = renders.by_copier(lean_template, {})
    script = REPOSITORY / "template/scripts/sbom.py"
    written = tmp_path / "sbom.cdx.json"
    run(sys.executable, str(script), str(LOCK), str(written), cwd=service)
    return written.read_text()


def test_it_is_valid(sbom: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(sbom) is None
    assert validator.validate_str(sbom.replace('"library"', '"lib"')) is not None


def test_it_names_the_project_and_all_that_is_locked(sbom: str) -> None:
    bill = json.loads(sbom)
    assert bill["metadata"]["component"]["name"] == "ai-service"
    listed = {f"{each['name']}=={each['version']}" for each in bill["components"]}
    pins = re.findall(r"^([\w.-]+)(?:\[[\w.,-]+\])?(==[^\s;]+)", LOCK.read_text(), re.MULTILINE)
    assert listed == {name + version for name, version in pins}
    assert all(each["hashes"] for each in bill["components"])
