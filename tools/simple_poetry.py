"""Poetry on an index that serves the simple API only (PEP 503, 658, 691), as many mirrors do.

Poetry asks such an index for `/pypi/NAME/VERSION/json` and fails without an answer; all that it
wants to know is in the simple API as well. With `--at FILE` it knows no other versions than those
of that requirements file, so that its lock names the same.

Usage: python -m tools.simple_poetry [--at FILE] COMMAND…
"""

import re
import sys
from pathlib import Path
from typing import Any

from packaging.utils import NormalizedName, canonicalize_name
from poetry.console.application import Application
from poetry.core.constraints.version import Version, VersionConstraint
from poetry.core.packages.package import Package
from poetry.core.packages.utils.link import Link
from poetry.inspection.info import PackageInfo
from poetry.repositories import pypi_repository
from poetry.repositories.pypi_repository import PyPiRepository


class SimpleRepository(PyPiRepository):
    """The same repository, so nothing about it is written to the lock."""

    pins: frozenset[tuple[str, str]] = frozenset()

    def find_links_for_package(self, package: Package) -> list[Link]:
        return list(self.get_page(package.name).links_for_version(package.name, package.version))

    def _get_release_info(self, name: NormalizedName, version: Version) -> dict[str, Any]:
        page = self.get_page(name)
        release = PackageInfo(
            name=name,
            version=version.text,
            yanked=page.yanked(name, version),
            cache_version=str(self.CACHE_VERSION),
        )
        return self._links_to_data(list(page.links_for_version(name, version)), release)

    def _find_packages_uncached(
        self, name: NormalizedName, constraint: VersionConstraint
    ) -> list[Package]:
        found = super()._find_packages_uncached(name, constraint)
        if not self.pins:
            return found
        return [package for package in found if (name, package.version.text) in self.pins]


def pins_of(requirements: Path) -> frozenset[tuple[str, str]]:
    pins = re.findall(r"^([\w.-]+)(?:\[.*\])?==([\w.!+-]+)", requirements.read_text(), re.MULTILINE)
    return frozenset((canonicalize_name(name), version) for name, version in pins)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--at"]:
        SimpleRepository.pins = pins_of(Path(arguments[1]))
        arguments = arguments[2:]
    pypi_repository.PyPiRepository = SimpleRepository  # type: ignore[misc]  # Poetry imports it when it needs it
    sys.argv[1:] = arguments
    return Application().run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
