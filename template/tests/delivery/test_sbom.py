"""`make sbom` lists what the lock names, and the same each time."""

import json
from pathlib import Path

import pytest

from scripts.sbom import main

LOCK = """\
# made by make lock
one==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
three[extra,other]==3.0 \\
    --hash=sha256:dd
two-parts==2.1.post1 ; sys_platform == 'win32' \\
    --hash=sha256:cc
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "svc"\nversion = "0.1.0"\n')
    (tmp_path / "requirements.txt").write_text(LOCK)
    return tmp_path


def test_every_pinned_name_is_a_component_with_the_hash_of_each_file(project: Path) -> None:
    main(project / "requirements.txt", project / "sbom.json")
    components = json.loads((project / "sbom.json").read_text())["components"]
    found = {
        (each["purl"], each["scope"], *(digest["content"] for digest in each["hashes"]))
        for each in components
    }
    assert found == {
        ("pkg:pypi/one@1.0", "required", "aa", "bb"),
        ("pkg:pypi/three@3.0", "required", "dd"),
        ("pkg:pypi/two-parts@2.1.post1", "optional", "cc"),
    }


def test_the_service_is_what_they_are_the_parts_of(project: Path) -> None:
    main(project / "requirements.txt", project / "sbom.json")
    bom = json.loads((project / "sbom.json").read_text())
    assert bom["metadata"]["component"]["name"] == "svc"
    parts = next(each["dependsOn"] for each in bom["dependencies"] if each["ref"] == "svc")
    assert len(parts) == 3


def test_equal_locks_have_equal_serial_numbers(project: Path) -> None:
    serials = set()
    for name in ("one.json", "two.json"):
        main(project / "requirements.txt", project / name)
        serials.add(json.loads((project / name).read_text())["serialNumber"])
    assert len(serials) == 1


def test_a_pin_that_is_not_understood_is_an_error(project: Path) -> None:
    (project / "requirements.txt").write_text(LOCK + "without-hash==1.0\n")
    with pytest.raises(SystemExit, match="4 pins in the lock, but 3"):
        main(project / "requirements.txt", project / "sbom.json")
