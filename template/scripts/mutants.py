"""`make mutants`: change the code in every small way, and see whether a test notices.

Prints the changes that no test noticed, and fails when they are more than a tenth. docs/mutants.md
explains those that no test can notice.
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
    shutil.rmtree("mutants", ignore_errors=True)  # verdicts of before are about other tests
    mutmut("run")
    mutmut("results")
    mutmut("export-cicd-stats")
    score = percent_noticed()
    print(f"{score:.1f}% of the mutants were noticed; at least {_AT_LEAST_PERCENT}% have to be")
    print("What one of the others changed: .venv/bin/python -m mutmut show NAME")
    return int(score < _AT_LEAST_PERCENT)


if __name__ == "__main__":
    sys.exit(main())
