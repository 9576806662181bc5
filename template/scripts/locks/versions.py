"""Lists the versions in poetry.lock or uv.lock, to make the requirements files or to compare them.

Usage: versions.py LOCK                 print them as constraints
       versions.py LOCK REQUIREMENTS    fail if the requirements file has another version
"""

import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PIN = re.compile(r"^([a-z0-9.-]+)(?:\[.*\])?==([^\s;]+)", re.MULTILINE)


def constraints(lock: Path) -> Iterator[str]:
    """One line per package version; a package may have several, for some platforms or Pythons."""
    packages = locked(lock)
    times = Counter(package["name"] for package in packages)
    for package in packages:
        pin = "==".join(pair(package))
        yield f"{pin} ; {marker(package)}" if times[package["name"]] > 1 else pin


def locked(lock: Path) -> list[dict[str, Any]]:
    """The packages in the lock, without the project itself, which uv.lock contains too."""
    packages = tomllib.loads(lock.read_text())["package"]
    return [package for package in packages if "editable" not in package.get("source", {})]


def pair(package: dict[str, Any]) -> tuple[str, str]:
    return package["name"], package["version"]


def marker(package: dict[str, Any]) -> str:
    """The marker of a package: uv has a list; Poetry one for all groups, or one per group."""
    found = package.get("resolution-markers") or package["markers"]
    if isinstance(found, dict):
        found = list(found.values())
    return found if isinstance(found, str) else " or ".join(f"({part})" for part in found)


def disagreements(lock: Path, requirements: Path) -> list[str]:
    known = {pair(package) for package in locked(lock)}
    return ["==".join(pin) for pin in PIN.findall(requirements.read_text()) if pin not in known]


def main(lock: Path, *requirements: Path) -> int:
    if not requirements:
        print("\n".join(constraints(lock)))
        return 0
    strangers = [pin for path in requirements for pin in disagreements(lock, path)]
    if strangers:
        print(f"not in {lock}: {', '.join(strangers)}; run: make lock", file=sys.stderr)
    return int(bool(strangers))


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
