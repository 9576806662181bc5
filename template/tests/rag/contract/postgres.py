"""A Postgres with pgvector for tests: that of `POSTGRES_TEST_URL`, or of a container that lasts for a run."""

import atexit
import os
import shutil
import subprocess
import time
from functools import cache
from secrets import token_hex

import pytest

IMAGE = "pgvector/pgvector:pg17"
_START_S = 60


def postgres_url() -> str:
    """The address. Skips the test if there is neither a database nor an engine with the image."""
    if given := os.environ.get("POSTGRES_TEST_URL"):
        return given
    why = _missing()
    if why:
        pytest.skip(why)
    return _container()


@cache
def _missing() -> str:
    docker = shutil.which("docker")
    if docker is None or _run(docker, "info").returncode:
        return "needs POSTGRES_TEST_URL, or a Docker engine"
    if _run(docker, "image", "inspect", IMAGE).returncode:
        return f"needs POSTGRES_TEST_URL, or the image: docker pull {IMAGE}"
    return ""


@cache
def _container() -> str:
    name, password = f"contract-{token_hex(4)}", token_hex(8)
    atexit.register(_run, "docker", "rm", "--force", "--volumes", name)
    options = ("--rm", "--detach", f"--name={name}", "--publish=127.0.0.1:0:5432")
    started = _run("docker", "run", *options, f"--env=POSTGRES_PASSWORD={password}", IMAGE)
    assert started.returncode == 0, started.stderr
    port = _run("docker", "port", name, "5432").stdout.split(":")[-1].strip()
    deadline = time.monotonic() + _START_S
    # The image starts Postgres twice; the first one does not listen at the network.
    while _run("docker", "exec", name, "pg_isready", "--host=127.0.0.1").returncode:
        assert time.monotonic() < deadline, "Postgres did not start"
        time.sleep(0.2)
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - docker, with arguments of this file
        command, capture_output=True, text=True, check=False, timeout=120
    )
