"""`make faults`: breaks one guard, limit, timeout or mask of the service at a time, and checks that a test notices.

`tests/planted_faults/*.toml` has the faults: a file, its text before and after, and the tests that must
fail. Each is planted in a copy of the project. `ARGS="edge secrets"` selects files of that directory, or
faults by a part of their names.
"""

import compileall
import shutil
import subprocess
import sys
import tempfile
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import SimpleQueue

PROJECT = Path(__file__).parents[1]
FAULTS = Path("tests/planted_faults")
_COPIES = 2
_TIMEOUT_S = 300
_NOT_COPIED = (".git", ".venv", ".*_cache", "__pycache__", "mutants", "node_modules")
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Fault:
    """`area` is the name of its file. `tests` are files, directories or single tests."""

    area: str
    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    slow: bool = False

    def is_meant_by(self, words: Sequence[str]) -> bool:
        return not words or any(word == self.area or word in self.name for word in words)

    def planted(self, project: Path) -> str:
        """The file with the fault. Raises `ValueError` unless the text is there exactly once."""
        text = (project / self.file).read_text()
        if (count := text.count(self.before)) != 1:
            raise ValueError(f"{self.name}: its text is {count} times in {self.file}, not once")
        return text.replace(self.before, self.after)


def load(project: Path = PROJECT) -> list[Fault]:
    return [
        Fault(area=path.stem, **{**entry, "tests": tuple(entry["tests"])})
        for path in sorted((project / FAULTS).glob("*.toml"))
        for entry in tomllib.loads(path.read_text())["fault"]
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="make faults", usage='make faults ARGS="[area or name ...]"')
    parser.add_argument("words", nargs="*", help="all faults, or those of an area or a name")
    words = parser.parse_args(arguments).words
    faults = [fault for fault in load() if fault.is_meant_by(words)]
    if not faults:
        parser.error(f"no fault is called {' '.join(words)}")
    with tempfile.TemporaryDirectory() as directory:
        unnoticed = play(faults, Path(directory))
    print(f"{len(faults) - len(unnoticed)} of {len(faults)} faults are noticed")
    for reason in unnoticed:
        print(f"NOT NOTICED  {reason}")
    return int(bool(unnoticed))


def play(faults: Sequence[Fault], directory: Path, project: Path = PROJECT) -> list[str]:
    """Plant each fault, in a few copies of the project at a time. Return those that no test notices."""
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(_COPIES):
        copies.put(_copied(project, directory / str(number)))
    with _borrowed(copies) as copy:
        _check_healthy(copy, faults)

    def played(fault: Fault) -> str | None:
        with _borrowed(copies) as copy:
            reason = _played(copy, fault)
        print(f"{fault.area:<11} {fault.name:<60} {reason or 'noticed'}", flush=True)
        return reason and f"{fault.name}: {reason}"

    with ThreadPoolExecutor(_COPIES) as pool:
        return [reason for reason in pool.map(played, faults) if reason]


def _copied(project: Path, copy: Path) -> Path:
    """Copy the project, with bytecode that depends on the content: a file may change twice a second."""
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    compileall.compile_dir(copy, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return copy


@contextmanager
def _borrowed(copies: "SimpleQueue[Path]") -> Iterator[Path]:
    copy = copies.get()
    try:
        yield copy
    finally:
        copies.put(copy)


def _check_healthy(copy: Path, faults: Sequence[Fault]) -> None:
    """Without a fault the tests pass: otherwise they would notice everything."""
    for slow in sorted({fault.slow for fault in faults}):
        tests = sorted({test for fault in faults if fault.slow == slow for test in fault.tests})
        done = _tests(copy, tests, slow=slow)
        if done.returncode != _PASSED:
            raise SystemExit(f"make faults: these tests fail without a fault\n{done.stdout}")


def _played(copy: Path, fault: Fault) -> str | None:
    """Why the fault is not noticed; `None`: a test fails because of it."""
    file = copy / fault.file
    healthy = file.read_bytes()
    try:
        file.write_text(fault.planted(copy))
        done = _tests(copy, fault.tests, slow=fault.slow)
    except subprocess.TimeoutExpired:
        return f"the tests take longer than {_TIMEOUT_S} s"
    finally:
        file.write_bytes(healthy)
    if done.returncode == _PASSED:
        return "all its tests pass"
    if done.returncode != _FAILED:
        return f"its tests do not run\n{done.stdout[-2000:]}"
    return None


def _tests(copy: Path, tests: Sequence[str], *, slow: bool) -> subprocess.CompletedProcess[str]:
    """Run tests up to the first failure, without writing bytecode: that of a fault would stay."""
    options = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=short")
    marks = ("-m", "slow or not slow") if slow else ()
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", *options, *marks, *tests],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
