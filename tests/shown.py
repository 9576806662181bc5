"""Commands that a page shows, with the output that it shows: run, and compared.

In a `console` block a line that begins with `$ ` is a command, and the lines below it are its output. `…` stands
for any text, and alone on a line for any lines. A `diff` block is a change that the reader makes.
"""

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.service import Service, free_port

_BLOCK = re.compile(r"^```(console|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PASSING = ("curl ", "make logs ")  # the log and a reload may be a moment late
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Step:
    command: str
    shown: str

    @property
    def fails(self) -> bool:
        """Whether the page shows that make ends with an error."""
        return re.search(r"^make: \*\*\*", self.shown, re.MULTILINE) is not None

    def matches(self, output: str) -> bool:
        return re.search(_pattern(self.shown), output, re.MULTILINE) is not None


@dataclass(frozen=True)
class Change:
    patch: str


def steps(page: str) -> Iterator[Step | Change]:
    for kind, text in _BLOCK.findall(page):
        if kind == "diff":
            yield Change(text)
            continue
        for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
            yield Step(command, shown)


def _pattern(shown: str) -> str:
    return "^" + "".join(map(_line, shown.splitlines()))


def _line(shown: str) -> str:
    if shown == "…":
        return "(?:.*\n)*?"
    return (
        "".join(".*?" if part == "…" else re.escape(part) for part in re.split("(…)", shown))
        + r"$\n?"
    )


def with_ports(page: str, service: Service) -> str:
    """The page as it is where the service, the mock API and the debugger have other ports."""
    ours = page.replace("127.0.0.1:8000", f"127.0.0.1:{service.app_port}")
    return ours.replace("127.0.0.1:9000", f"127.0.0.1:{service.mock_port}").replace(
        "5678", str(free_port())
    )


def take(service: Service, step: Step | Change) -> None:
    """Run a command, or make a change; an error has the command, its shown output and the real one."""
    if isinstance(step, Change):
        code, output = _run(service, "git apply --unidiff-zero -", step.patch)
        assert code == 0, f"{step.patch}\ncannot be applied:\n{output}"
        return
    deadline = time.monotonic() + (_PATIENCE_S if step.command.startswith(_PASSING) else 0)
    while True:
        code, output = _run(service, step.command)
        if step.matches(output) and (code != 0) is step.fails:
            return
        assert (
            time.monotonic() < deadline
        ), f"$ {step.command}\nshown:\n{step.shown}\nprinted, with exit code {code}:\n{output}"
        time.sleep(0.2)


def _run(service: Service, command: str, given: str = "") -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=service.path,
        env={**service.environment, "NATIVE": "1"},
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout
