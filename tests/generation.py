"""The template's share of a generation: `make generation` prints the CPU time beside that of the engines' start.

The time of the processor, of all processes together, the least of five rounds in turns: other work on the
machine can only add to it.
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.engines import REPOSITORY, clone_of_this_checkout, run

ROUNDS = 5
PYTHON = sys.executable


def commands(template: Path, made: Path) -> dict[str, list[str]]:
    copy = ["copy", "--quiet", "--defaults", "--vcs-ref=HEAD", str(template)]
    return {
        "copier --version": [PYTHON, "-m", "copier", "--version"],
        "copier copy": [PYTHON, "-m", "copier", *copy, str(made / "copier")],
        "make new": [PYTHON, "-m", "tools.run_copier", *copy, str(made / "new")],
        "cookiecutter --version": [PYTHON, "-m", "cookiecutter", "--version"],
        "cookiecutter": [
            *(PYTHON, "-m", "cookiecutter", "--no-input", f"--output-dir={made}", str(template)),
        ],
    }


def main() -> None:
    least: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        template = clone_of_this_checkout(Path(directory) / "template")
        for number in range(ROUNDS):
            for name, command in commands(template, Path(directory) / str(number)).items():
                least[name] = min(cpu_of(command), least.get(name, float("inf")))
    for name, seconds in least.items():
        start = least[f"{name.split()[0].replace('make', 'copier')} --version"]
        print(f"{name:<24} {seconds:5.2f} s   over the engine's start: {seconds - start:5.2f} s")


def cpu_of(command: list[str]) -> float:
    before = os.times()
    run(*command, cwd=REPOSITORY)
    after = os.times()
    return (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )


if __name__ == "__main__":
    main()
