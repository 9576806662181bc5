"""`make doctor`: checks this machine and project; one line per check, with the fix if it fails.

It runs before packages are installed, so it imports only the standard library, and modules of the
service that need no package.
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
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from app.clients.keys import parse_keys
from app.configuration.plain_value import Flawed, plain
from app.configuration.text_file import NotTextError, read_text

PYTHON = Path(".venv/bin/python")
EX_CONFIG = 78
LAST_PORT = 65535


class Finding(NamedTuple):
    """`mend` is the fix, or empty if there is no error. Only `needed` checks make it fail."""

    what: str
    mend: str = ""
    needed: bool = True


def check_python() -> Iterator[Finding]:
    have = sys.version_info
    name = f"Python {have.major}.{have.minor}"
    try:
        wanted = read_text(Path(".python-version")).strip()
    except NotTextError:
        yield Finding(
            name,
            "no .python-version to compare it with: git checkout .python-version",
            needed=False,
        )
        return
    if not re.fullmatch(r"\d+\.\d+", wanted):
        yield Finding(".python-version", "must be like 3.13: containers and CI read it too")
    elif f"{have.major}.{have.minor}" == wanted:
        yield Finding(name)
    else:
        mend = f"works, but containers and CI use {wanted}: install it, then 'make clean install'"
        yield Finding(name, mend, needed=False)


def check_lock() -> Iterator[Finding]:
    stamp, lock = Path(".venv/bin/.installed"), Path("requirements-dev.txt")
    if not lock.exists():
        yield Finding("lock", "requirements-dev.txt is missing: git checkout requirements-dev.txt")
    elif not stamp.exists():
        yield Finding(".venv", "does not exist yet: run make install", needed=False)
    elif stamp.stat().st_mtime < lock.stat().st_mtime:
        yield Finding(".venv", "older than the lock: make install", needed=False)
    else:
        yield Finding(".venv is up to date with the lock")
    yield from unlocked()


def unlocked() -> Iterator[Finding]:
    """Dependencies in pyproject.toml that are not in the lock."""
    project = tomllib.loads(read_text(Path("pyproject.toml")))
    declared = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    names = {re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0] for requirement in declared}
    locked = variables(Path("requirements-dev.txt"), r"^([a-z0-9.-]+)(?:\[.*\])?==")
    missing = {re.sub(r"[._-]+", "-", name).lower() for name in names} - set(locked)
    if missing:
        yield Finding("lock", f"lacks {', '.join(sorted(missing))}: run make lock")


def check_env_file() -> Iterator[Finding]:
    if not os.path.lexists(".env"):
        yield Finding("no .env: the service uses the mock API")
        return
    if flaw := flaw_of_env_file():
        if not PYTHON.exists():  # otherwise `check_settings` reports the same
            yield Finding(".env", flaw)
        return
    known = variables(Path(".env.example"), r"^#? ?([A-Z][A-Z0-9_]*)=")
    given = variables(Path(".env"), r"^\s*(?:export\s+)?(\w+)\s*=")
    unknown = [name for name in given if name not in known and not is_providers(name)]
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        guess = f"did you mean {near[0]}?" if near else "see .env.example"
        yield Finding(f".env: {name}", f"is not a setting: {guess}", needed=False)
    yield from keys_without_address()
    yield from addresses_of_the_container()
    yield from sdks_without_lock()
    yield from postgres_without_lock()


def flaw_of_env_file() -> str:
    """The reason why `.env` cannot be read; empty if it can, or does not exist."""
    try:
        if os.path.lexists(".env"):
            read_text(Path(".env"))
    except NotTextError as error:
        return str(error)
    return ""


def keys_without_address() -> Iterator[Finding]:
    """An API key without a base URL: the address decides which server is called.

    The default address is the mock API, so the key has no effect.
    """
    for provider in without_address({*set_in_env_file(), *os.environ}):
        mend = f"is set, but the mock API answers: set {provider}_BASE_URL too (see .env.example)"
        yield Finding(f".env: {provider}_API_KEY", mend, needed=False)


def without_address(keys: set[str]) -> Iterator[str]:
    """The providers of these API keys that are asked at the mock API's address."""
    given = {*set_in_env_file(), *os.environ}
    for provider in variables(Path(".env.example"), r"^# (\w+)_BASE_URL=http://127\.0\.0\.1:9000"):
        if f"{provider}_API_KEY" in keys and f"{provider}_BASE_URL" not in given:
            yield provider


def set_in_env_file() -> list[str]:
    if not os.path.lexists(".env"):
        return []
    return variables(Path(".env"), r"^[^\S\n]*(?:export\s+)?(\w+)[^\S\n]*=[^\S\n]*[^\s#]")


def is_providers(name: str) -> bool:
    """Whether a variable is a setting of a compatible provider, which may have any name."""
    fields = variables(Path(".env.example"), r"^# PROVIDERS__<NAME>__(\w+)=")
    return bool(re.fullmatch(rf"PROVIDERS__\w+?__({'|'.join(fields)})", name.upper()))


def addresses_of_the_container() -> Iterator[Finding]:
    """Addresses on this machine: in a container, 127.0.0.1 is the container itself."""
    local = r"^\s*(?:export\s+)?(\w+_BASE_URL)\s*=\s*\W*http://(?:127\.0\.0\.1|localhost)\b"
    for variable in variables(Path(".env"), local):
        mend = (
            "is the container itself if `make dev` uses Docker: write host.docker.internal "
            "instead of the host, or run without Docker: make dev NATIVE=1"
        )
        yield Finding(f".env: {variable}", mend, needed=False)


def sdks_without_lock() -> Iterator[Finding]:
    """Missing SDKs in requirements.txt: developers have the SDKs anyway, but the image does not."""
    names = r"(?:LLM_PROVIDERS|PROVIDERS__\w+__API)"
    lines = variables(Path(".env"), rf"^\s*(?:export\s+)?{names}\s*=(.*)$")
    chosen = set(re.findall(r"(\w+)-sdk", " ".join(lines)))
    missing = chosen - set(variables(Path("requirements.txt"), r"^([a-z0-9.-]+)(?:\[.*\])?=="))
    if missing:
        mend = f"the image would lack {', '.join(sorted(missing))}: make lock EXTRAS=sdk"
        yield Finding(".env: SDK providers", mend, needed=False)


def postgres_without_lock() -> Iterator[Finding]:
    """A missing client of Postgres in requirements.txt: developers have it anyway, the image does not."""
    locked = variables(Path("requirements.txt"), r"^([a-z0-9.-]+)(?:\[.*\])?==")
    if in_env_file("DOCUMENTS_STORE").lower() == "postgres" and "psycopg" not in locked:
        mend = "the image would lack psycopg: make lock STORE=postgres"
        yield Finding(".env: DOCUMENTS_STORE", mend, needed=False)


def check_settings() -> Iterator[Finding]:
    """The errors of a start: in `.env`, the environment, other files, proxies and certificates."""
    if not PYTHON.exists():
        return
    done = subprocess.run(
        [PYTHON, "-m", "app", "config", "--check"], capture_output=True, text=True, check=False
    )
    lines = [line.strip() for line in done.stderr.splitlines()]
    if done.returncode == 0:
        yield Finding("settings are valid")
    elif done.returncode == EX_CONFIG:
        for line in lines[1:-1]:
            name, _, reason = line.partition(": ")
            yield Finding(name, f"{reason}; fix it in the place where it is set (see .env.example)")
    else:
        yield Finding("settings", f"cannot be checked ({lines[-1:]}): run make install")


def check_client_keys() -> Iterator[Finding]:
    """Expired keys. A malformed entry, and staging or prod without keys, do not pass `check_settings`."""
    value = plain(os.environ.get("CLIENT_KEYS") or in_env_file("CLIENT_KEYS"))
    if isinstance(value, Flawed) or not value:
        return
    try:
        keys = parse_keys(value)
    except ValueError as error:
        if not PYTHON.exists():  # otherwise `check_settings` reports the same
            yield Finding("CLIENT_KEYS", str(error))
        return
    today = datetime.now(UTC).date()
    for place, key in enumerate(keys if isinstance(keys, tuple) else (), 1):
        if key.expires_on is not None and key.expires_on < today:
            mend = f"expired on {key.expires_on}: remove it; make client-key NAME={key.name} prints a new one"
            yield Finding(f"CLIENT_KEYS: entry {place} ({key.name})", mend, needed=False)


def check_docker() -> Iterator[Finding]:
    native = "or run without it: make dev NATIVE=1"
    if not shutil.which("docker"):
        yield Finding("Docker", f"not installed: install it, {native}", needed=False)
    elif not succeeds("docker", "info"):
        yield Finding("Docker", f"the engine does not answer: start it, {native}", needed=False)
    elif not succeeds("docker", "compose", "version"):
        yield Finding(
            "Docker Compose", f"install the plugin docker-compose, {native}", needed=False
        )
    else:
        yield Finding("Docker and Compose")


def check_ports() -> Iterator[Finding]:
    for variable, usual in (("APP_PORT", "8000"), ("MOCK_PORT", "9000"), ("DEBUG_PORT", "")):
        value = plain(os.environ.get(variable) or in_env_file(variable)) or usual
        if not value:
            continue
        if isinstance(value, Flawed):
            yield Finding(variable, value.why)
        elif not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) <= LAST_PORT:
            yield Finding(variable, f"{value} is not a port: choose one from 1 to {LAST_PORT}")
        else:
            yield port(variable, int(value))


def port(variable: str, number: int) -> Finding:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", number)) == 0
    mend = f"in use (is 'make dev' running?): {variable}={number + 10} make dev" if taken else ""
    return Finding(f"port {number}", mend, needed=False)


def variables(path: Path, pattern: str) -> list[str]:
    return re.findall(pattern, read_text(path), re.MULTILINE)


def in_env_file(variable: str) -> str:
    """The value of the variable's last line, without quotes around it and a comment after it."""
    try:
        lines = variables(Path(".env"), rf"^\s*(?:export\s+)?{variable}\s*=[^\S\n]*(.*)$")
    except NotTextError:
        return ""
    last = lines[-1].strip() if lines else ""
    quoted = re.match(r"""(["'])(.*?)\1""", last)
    return quoted[2] if quoted else re.sub(r"(^|\s+)#.*", "", last)


def succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    check_python,
    check_lock,
    check_env_file,
    check_settings,
    check_client_keys,
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
