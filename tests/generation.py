"""The template's share of a generation: `make generation` prints the CPU time beside that of the engines' start.

The time of the processor, of all processes together, the least of five rounds in turns: other work on the
machine can only add to it.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.engines import clone_of_this_checkout, run

ROUNDS = 5
PYTHON = sys.executable


class Taken(NamedTuple):
    """Seconds of the processor. Those in the kernel depend on the disk and on other work most."""

    user: float
    system: float


def commands(template: Path, made: Path) -> dict[str, list[list[str]]]:
    """What is measured, by name: one or more commands."""
    copy = ["copy", "--quiet", "--defaults", "--vcs-ref=HEAD", str(template)]
    step = ["env", "PYTHONPATH=hooks", PYTHON, "-m", "tools.make_new"]
    new = [
        [*step, "check", "--defaults"],
        [PYTHON, "-m", "tools.run_copier", *copy, str(made / "new")],
        [*step, "finish", str(made / "new"), "--defaults"],
    ]
    cookiecutter = ["--no-input", f"--output-dir={made}", str(template)]
    return {
        "copier --version": [[PYTHON, "-m", "copier", "--version"]],
        "copier copy": [[PYTHON, "-m", "copier", *copy, str(made / "copier")]],
        "make new, Copier's step": new[1:2],
        "make new": new,
        "cookiecutter --version": [[PYTHON, "-m", "cookiecutter", "--version"]],
        "cookiecutter": [[PYTHON, "-m", "cookiecutter", *cookiecutter]],
    }


def main() -> None:
    least: dict[str, Taken] = {}
    with tempfile.TemporaryDirectory() as directory:
        template = clone_of_this_checkout(Path(directory) / "template")
        for number in range(ROUNDS):
            made = Path(directory) / str(number)
            for name, steps in commands(template, made).items():
                shutil.rmtree(made, ignore_errors=True)
                each = [cpu_of(command, template) for command in steps]
                taken = Taken(sum(one.user for one in each), sum(one.system for one in each))
                least[name] = min(taken, least.get(name, taken), key=sum)
    for name, taken in least.items():
        engine = "cookiecutter" if name.startswith("cookiecutter") else "copier"
        over = sum(taken) - sum(least[f"{engine} --version"])
        print(
            f"{name:<24} {sum(taken):5.2f} s   over the engine's start: {over:5.2f} s"
            f"   in the kernel: {taken.system:5.2f} s"
        )


def cpu_of(command: list[str], template: Path) -> Taken:
    before = os.times()
    run(*command, cwd=template)
    after = os.times()
    return Taken(
        after.children_user - before.children_user, after.children_system - before.children_system
    )


if __name__ == "__main__":
    main()
