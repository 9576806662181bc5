"""Run a test command; tests that failed beside others run once more, alone.

`python -m tools.once_more DIRECTORY COMMAND…`

Some tests measure real time. On a busy machine one of ten thousand fails by chance: it passes alone, and the summary
names it. A broken test fails both times. With more than `AT_MOST` failures there is no second run.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

AT_MOST = 5
# The marker expression replaces the one of the service's configuration, which leaves slow tests out.
ALONE = (
    "-m",
    "slow or not slow",
    "--last-failed",
    "--last-failed-no-failures=none",
    "--numprocesses=0",
)
TESTS_FAILED = {1, 2}  # by pytest, and by make, which runs it


def failed_in(directory: Path) -> list[str]:
    """The tests of the last run that failed, as pytest's cache has them."""
    cache = last_failed(directory)
    return sorted(json.loads(cache.read_text())) if cache.exists() else []


def last_failed(directory: Path) -> Path:
    return directory / ".pytest_cache/v/cache/lastfailed"


def alone(directory: Path) -> int:
    command = [".venv/bin/python", "-m", "pytest", *ALONE]
    return subprocess.run(command, cwd=directory, check=False).returncode


def show(title: str, tests: Sequence[str]) -> None:
    sys.stdout.write("\n  ".join((f"\n{title}", *tests)) + "\n")
    sys.stdout.flush()


def main(directory: Path, command: Sequence[str]) -> int:
    last_failed(directory).unlink(missing_ok=True)
    status = subprocess.run(command, check=False).returncode
    failed = failed_in(directory)
    if status not in TESTS_FAILED or not 0 < len(failed) <= AT_MOST:
        return status
    show("These failed beside other tests, and run once more alone:", failed)
    if status := alone(directory):
        return status
    show("Passed alone, so they depend on the speed of the machine:", failed)
    return 0


if __name__ == "__main__":
    where, *words = sys.argv[1:]
    sys.exit(main(Path(where), words))
