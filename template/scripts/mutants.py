"""`make mutants`: changes the code in many small ways and checks that a test fails each time.

It prints the changes with which all tests still pass, and fails if they are more than a tenth.
docs/mutants.md explains the changes that no test can detect.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_AT_LEAST_PERCENT = 90
_STATS = Path("mutants/mutmut-cicd-stats.json")
_NOTICED = ("killed", "timeout", "segfault")


def mutmut(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        check=True,
        env={**os.environ, "HYPOTHESIS_PROFILE": "mutants"},
    )


def percent_noticed() -> float:
    stats: dict[str, int] = json.loads(_STATS.read_text())
    return 100 * sum(stats[outcome] for outcome in _NOTICED) / stats["total"]


def main() -> int:
    shutil.rmtree("mutants", ignore_errors=True)  # old results are for other tests
    mutmut("run")
    mutmut("results")
    mutmut("export-cicd-stats")
    score = percent_noticed()
    print(f"{score:.1f}% of the mutants were detected; at least {_AT_LEAST_PERCENT}% are required")
    print("To see the change of a mutant: .venv/bin/python -m mutmut show NAME")
    return int(score < _AT_LEAST_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
