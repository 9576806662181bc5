"""`make sbom`: the list of the packages of the service, as CycloneDX. It reads the lock, without network."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

# CycloneDX's classes are made by a decorator that mypy follows and pyright does not.
# pyright: reportCallIssue=false, reportArgumentType=false, reportAttributeAccessIssue=false
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

# `name[extra]==version ; marker \` and below it a line for each file that may be installed.
_PIN = re.compile(
    r"^([\w.-]+)(?:\[[\w.,-]+\])?==(\S+)(?: ; (.+?))? \\\n((?: +--hash=\S+(?: \\)?\n?)+)",
    re.MULTILINE,
)


def bill(project: dict[str, str], lock: str) -> Bom:
    """List what `lock` names, with the hash of each file of it. Equal locks make equal lists."""
    root = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
    )
    # Not random, as is usual: the list of the same lock is the same, byte for byte.
    bom = Bom(components=components(lock), serial_number=uuid5(NAMESPACE_URL, lock))
    bom.metadata.component = root
    bom.register_dependency(root, bom.components)
    return bom


def components(lock: str) -> Iterator[Component]:
    for name, version, marker, hashes in _PIN.findall(lock):
        purl = PackageURL("pypi", name=name, version=version)
        yield Component(
            name=name,
            version=version,
            purl=purl,
            bom_ref=str(purl),
            # With a marker it is installed on some platforms only.
            scope=ComponentScope.OPTIONAL if marker else ComponentScope.REQUIRED,
            hashes=[
                HashType(alg=HashAlgorithm.SHA_256, content=each)
                for each in re.findall(r"--hash=sha256:(\w+)", hashes)
            ],
        )


def _check_complete(bom: Bom, lock: str) -> None:
    """A pin that the pattern does not know would be missing without a word."""
    pins = sum("==" in line.partition(";")[0] for line in lock.splitlines() if line[:1].isalnum())
    if pins != len(bom.components):
        raise SystemExit(f"{pins} pins in the lock, but {len(bom.components)} components found")


def main(lock: Path, destination: Path) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    bom = bill(project, lock.read_text())
    _check_complete(bom, lock.read_text())
    destination.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")
    print(f"{destination}: {len(bom.components)} components, from {lock}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
