"""The service's tests that read nothing an answer can change: once for each Python, not for each answer.

When they run, all other files are moved away, so a test that reads one fails.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.engines import digest
from tests.workshop import Workshop, entries

# Tests that read files that answers change, and that every project has: they run with every answer.
READERS = ("tests/test_pattern_map.py", "tests/test_project.py")
PYTEST_SETTINGS = re.compile(r"(?ms)^\[tool\.pytest\.ini_options\]\n.*?(?=^\[)")


class Passed(NamedTuple):
    combination: str
    number: int


class Failed(NamedTuple):
    combination: str
    message: str


@dataclass
class CommonTests:
    workshop: Workshop
    unchanged: set[str]  # paths that are the same with every answer
    went: dict[str, Passed | Failed] = field(default_factory=dict)

    def run(self, combination: str) -> Passed:
        """When and how many of these passed: now, or before, with the same Python and the same bytes.

        Two releases of one version (3.11.2, 3.11.7) are the same Python: where a version is missing,
        another one takes its place. A failure is remembered too: to repeat it for every combination
        would take hours.
        """
        python = self.workshop.service.run(".venv/bin/python", "--version")
        with self.alone():
            key = python.rpartition(".")[0] + digest(self.workshop.laid_out())
            if key not in self.went:
                self.went[key] = self._run_now(combination)
        went = self.went[key]
        assert isinstance(went, Passed), f"failed with {went.combination}: {went.message}"
        return went

    def _run_now(self, combination: str) -> Passed | Failed:
        ignored = [f"--ignore={path}" for path in READERS]
        try:
            output = self.workshop.service.run(".venv/bin/python", "-m", "pytest", *ignored)
        except AssertionError as error:
            return Failed(combination, str(error))
        return Passed(combination, number_passed(output))

    @contextmanager
    def alone(self) -> Iterator[None]:
        place = self.workshop.service.path
        settings = PYTEST_SETTINGS.search((place / "pyproject.toml").read_text())
        assert settings
        with self.workshop.without(set(entries(place)) - self.unchanged):
            (place / "pyproject.toml").write_text(settings[0])
            yield

    def others(self) -> list[str]:
        """The tests that have to run with every answer."""
        place = self.workshop.service.path
        changed = {f"tests/{name}" for name in entries(place / "tests")} - self.unchanged
        return [*READERS, *sorted(name for name in changed if Path(name).name.startswith("test_"))]


def number_passed(output: str) -> int:
    found = re.search(r"(\d+) passed", output)
    assert found, output
    return int(found[1])
