"""`make doctor`: is everything here that the other targets need? One line each, and how to mend it.

Runs before anything is installed, so it uses the standard library only.
"""

import difflib
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Finding(NamedTuple):
    """`mend` is empty when nothing is wrong. Only what is `needed` makes the doctor fail."""

    what: str
    mend: str = ""
    needed: bool = True


def check_python() -> Iterator[Finding]:
    wanted, have = Path(".python-version").read_text().strip(), sys.version_info
    name = f"Python {have.major}.{have.minor}"
    if f"{have.major}.{have.minor}" == wanted:
        yield Finding(name)
    else:
        mend = f"works, but containers and CI use {wanted}: install it, then 'make clean install'"
        yield Finding(name, mend, needed=False)


def check_lock() -> Iterator[Finding]:
    stamp, lock = Path(".venv/bin/.installed"), Path("requirements-dev.txt")
    if not lock.exists():
        yield Finding("lock", "requirements-dev.txt is missing: git checkout requirements-dev.txt")
    elif not stamp.exists():
        yield Finding(
            ".venv", "not there yet: make install, or any target that needs it", needed=False
        )
    elif stamp.stat().st_mtime < lock.stat().st_mtime:
        yield Finding(".venv", "older than the lock: make install", needed=False)
    else:
        yield Finding(".venv holds what the lock names")
    yield from unlocked()


def unlocked() -> Iterator[Finding]:
    """Dependencies that somebody wrote into pyproject.toml without remaking the lock."""
    project = tomllib.loads(Path("pyproject.toml").read_text())
    declared = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in declared}
    locked = variables(Path("requirements-dev.txt"), r"^([a-z0-9.-]+)(?:\[.*\])?==")
    missing = {re.sub(r"[._-]+", "-", name).lower() for name in names} - set(locked)
    if missing:
        yield Finding("lock", f"lacks {', '.join(sorted(missing))}: make lock")


def check_env_file() -> Iterator[Finding]:
    if not Path(".env").exists():
        yield Finding("no .env: the service uses the mock API")
        return
    known = variables(Path(".env.example"), r"^#? ?([A-Z][A-Z0-9_]*)=")
    unknown = [name for name in variables(Path(".env"), r"^\s*(\w+)\s*=") if name not in known]
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean {near[0]}?" if near else "see .env.example"
        yield Finding(f".env: {name}", f"is not read by anything: {guess}", needed=False)
    yield from keys_without_address()
    yield from sdks_without_lock()
    yield from check_settings()


def keys_without_address() -> Iterator[Finding]:
    """A key alone changes nothing: the address decides who answers, and its default is the mock."""
    given = {*variables(Path(".env"), r"^\s*(\w+)\s*=\s*\S"), *os.environ}
    for provider in ("OPENAI", "ANTHROPIC"):
        if f"{provider}_API_KEY" in given and f"{provider}_BASE_URL" not in given:
            mend = (
                f"is set, but the mock API answers: set {provider}_BASE_URL too (see .env.example)"
            )
            yield Finding(f".env: {provider}_API_KEY", mend, needed=False)


def sdks_without_lock() -> Iterator[Finding]:
    """Developers have the vendors' clients anyway; the image has what requirements.txt names."""
    lines = variables(Path(".env"), r"^\s*LLM_PROVIDERS\s*=(.*)$")
    chosen = set(re.findall(r"(\w+)-sdk", " ".join(lines)))
    missing = chosen - set(variables(Path("requirements.txt"), r"^([a-z0-9.-]+)(?:\[.*\])?=="))
    if missing:
        mend = f"the image would lack {', '.join(sorted(missing))}: make lock EXTRAS=sdk"
        yield Finding(".env: LLM_PROVIDERS", mend, needed=False)


def check_settings() -> Iterator[Finding]:
    python = Path(".venv/bin/python")
    if not python.exists():
        return
    done = subprocess.run(
        [python, "-m", "app", "config", "--check"], capture_output=True, text=True, check=False
    )
    for line in done.stderr.splitlines():
        if line.startswith("  "):
            yield Finding(".env", f"{line.strip()}: mend it in .env (see .env.example)")
    if done.returncode == 0:
        yield Finding(".env is valid")


def check_docker() -> Iterator[Finding]:
    native = "or go without: make dev NATIVE=1"
    if not shutil.which("docker"):
        yield Finding("Docker", f"not installed: install it, {native}", needed=False)
    elif not succeeds("docker", "info"):
        yield Finding("Docker", f"no engine answers: start it, {native}", needed=False)
    elif not succeeds("docker", "compose", "version"):
        yield Finding(
            "Docker Compose", f"install the plugin docker-compose, {native}", needed=False
        )
    else:
        yield Finding("Docker and Compose")


def check_ports() -> Iterator[Finding]:
    for variable, usual in (("APP_PORT", 8000), ("MOCK_PORT", 9000)):
        port = int(os.environ.get(variable) or in_env_file(variable) or usual)
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        mend = f"in use (is 'make dev' running?): {variable}={port + 10} make dev" if taken else ""
        yield Finding(f"port {port}", mend, needed=False)


def variables(path: Path, pattern: str) -> list[str]:
    return re.findall(pattern, path.read_text(), re.MULTILINE)


def in_env_file(variable: str) -> str | None:
    path = Path(".env")
    found = variables(path, rf"^\s*{variable}\s*=\s*(\d+)") if path.exists() else []
    return found[-1] if found else None


def succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_lock,
    check_env_file,
    check_docker,
    check_ports,
)


def main() -> int:
    failed = False
    for check in CHECKS:
        for finding in check():
            mark = "ok" if not finding.mend else "FAIL" if finding.needed else "note"
            print(f"{mark:>4}  {finding.what}" + (f": {finding.mend}" if finding.mend else ""))
            failed = failed or mark == "FAIL"
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
