"""Detection of a Docker Engine, and the containers of a generated service."""

import json
import os
import subprocess
from functools import cache
from typing import Any

import pytest


@cache
def why_not() -> str:
    """Return the reason why no engine with Compose answers; empty if one does."""
    for command in (
        ["docker", "info"],
        ["docker", "compose", "version"],
        ["docker", "buildx", "version"],
    ):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=30)
        except (OSError, subprocess.SubprocessError) as error:
            return f"`{' '.join(command)}` fails: {error}"
    return ""


def needs_docker() -> None:
    """Skip without an engine; fail where `REQUIRE_DOCKER` says that one must be there."""
    if reason := why_not():
        if os.environ.get("REQUIRE_DOCKER"):
            pytest.fail(f"REQUIRE_DOCKER is set, but {reason}")
        pytest.skip(reason)


def docker(*arguments: str, timeout: float = 300) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"docker {arguments}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def needs_image(name: str) -> None:
    """Skip where the engine has no such image and cannot pull it."""
    try:
        docker("image", "inspect", name)
    except AssertionError:
        try:
            docker("pull", name)
        except AssertionError as error:
            pytest.skip(f"the image {name} is not here and cannot be pulled: {error}")


def logs(name: str) -> str:
    """The output of a container, of both streams."""
    done = subprocess.run(
        ["docker", "logs", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout


def inspect(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", name))[0]
    return found
