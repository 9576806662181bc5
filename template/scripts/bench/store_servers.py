"""The servers of `scripts.bench.stores`: those of the environment, or containers for one run."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

_START_S = 60

# With the 64 MB that a container has, only one process of Postgres can make an index. The index of
# 100,000 vectors takes 200 MB, which should be in the memory of Postgres: its default is 128 MB.
_POSTGRES = (
    *("--shm-size=1g", "--env=POSTGRES_PASSWORD=bench", "pgvector/pgvector:pg17"),
    *("postgres", "-c", "listen_addresses=*", "-c", "shared_buffers=512MB"),
)


@contextmanager
def redis() -> Iterator[str | None]:
    """The address of a Redis 8; `None` if there is neither one nor an engine."""
    with _server("REDIS_TEST_URL", ["redis:8-alpine"], 6379, ["redis-cli", "ping"]) as place:
        yield place if place is None or "://" in place else f"redis://{place}/0"


@contextmanager
def postgres() -> Iterator[str | None]:
    """The address of a Postgres with pgvector; `None` if there is neither one nor an engine."""
    ready = ["pg_isready", "--host=127.0.0.1"]  # the first start does not listen at the network
    with _server("POSTGRES_TEST_URL", _POSTGRES, 5432, ready) as place:
        yield (
            place
            if place is None or "://" in place
            else f"postgresql://postgres:bench@{place}/postgres"
        )


@contextmanager
def _server(
    variable: str, arguments: "list[str] | tuple[str, ...]", port: int, ready: list[str]
) -> Iterator[str | None]:
    """The address that the variable has, or the host and port of a container."""
    if given := os.environ.get(variable):
        yield given
        return
    docker = shutil.which("docker")
    if docker is None or _run(docker, "info").returncode:
        yield None
        return
    name = f"bench-{token_hex(4)}"
    options = ("--rm", "--detach", f"--name={name}", f"--publish=127.0.0.1:0:{port}")
    started = _run(docker, "run", *options, *arguments)
    if started.returncode:
        sys.exit(f"make bench: {variable}: no container starts: {started.stderr.strip()}")
    try:
        _wait_for(docker, name, ready)
        published = _run(docker, "port", name, str(port)).stdout.split(":")[-1].strip()
        yield f"127.0.0.1:{published}"
    finally:
        _run(docker, "rm", "--force", "--volumes", name)


def _wait_for(docker: str, name: str, ready: list[str]) -> None:
    deadline = time.monotonic() + _START_S
    while _run(docker, "exec", name, *ready).returncode:
        if time.monotonic() > deadline:
            sys.exit("make bench: the server of the container does not answer")
        time.sleep(0.2)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False)
