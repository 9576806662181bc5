"""Figures of a generated service: `make figures` prints them as a table.

Each is measured once on this machine with a real engine. "Cold" means no layer and an empty package
cache (cache mounts of its own, so those of other projects stay), but base images at hand.
"""

import re
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.docker import docker, why_not
from tests.service import Service, generate, press_ctrl_c

MEGABYTE = 1_000_000


def main() -> int:
    if reason := why_not():
        print(f"make figures needs Docker: {reason}", file=sys.stderr)
        return 1
    row("figure", "measured", "goal")
    with tempfile.TemporaryDirectory() as directory:
        elapsed = seconds(natively(Path(directory) / "natively"))
        row("natively: generate, install, test and lint", elapsed, "< 60 s")
        name = f"figures-{uuid.uuid4().hex[:8]}"
        service = generate(Path(directory) / name, project_slug=name)
        try:
            for figure in figures(service):
                row(*figure)
        finally:
            tag = service.path.name
            service.run("docker", "compose", "--profile", "test", "down", "--rmi", "local")
            docker("image", "rm", "--force", tag)
    return 0


def row(name: str, value: str, goal: str) -> None:
    print(f"{name:<44} {value:>9}   {goal}", flush=True)


def natively(destination: Path) -> float:
    """Generate, install, test and lint; packages come from the caches of pip and uv when these are warm."""
    started = time.monotonic()
    service = generate(destination)
    for target in ("install", "test", "lint"):
        service.run("make", target, "NATIVE=1")
    return time.monotonic() - started


def figures(service: Service) -> Iterator[tuple[str, str, str]]:
    use_own_cache_mounts(service.path / "Dockerfile")
    yield "cold build of the production image", seconds(build(service, "--no-cache")), "-"
    yield "build after a change of the source", seconds(after_an_edit(service)), "< 1 s"
    yield "build after a change of the dependencies", seconds(after_a_new_lock(service)), "< 3 s"
    yield "image size over its base", megabytes(size_over_base(service)), "< 60 MB"
    service.run("docker", "compose", "build")
    yield from running(service)


def running(service: Service) -> Iterator[tuple[str, str, str]]:
    with service.running("docker", "compose", "up") as compose:
        started = time.monotonic()
        service.wait_until_healthy(compose)
        yield "from `up` to healthy, images built", seconds(time.monotonic() - started), "< 5 s"
        edits = [after_a_while(service, number) for number in range(5)]
        yield "from an edit to its being served (median)", seconds(sorted(edits)[2]), "< 0.8 s"
        yield "stop", seconds(timed(lambda: press_ctrl_c(compose))), "< 2 s"


def after_a_while(service: Service, number: int) -> float:
    time.sleep(1)  # the edit before has been taken back, and that is served as well
    return service.edit_a_route(f"edit{number}")


def use_own_cache_mounts(dockerfile: Path) -> None:
    mount = "type=cache,"
    fresh = f"{mount}id={uuid.uuid4().hex},"
    parts = dockerfile.read_text().split(mount)
    dockerfile.write_text(fresh.join(parts))


def after_an_edit(service: Service) -> float:
    source = service.path / "src/app/errors.py"
    source.write_text(f"{source.read_text()}\n# {uuid.uuid4()}\n")
    return build(service)


def after_a_new_lock(service: Service) -> float:
    """One package fewer: the whole environment is made again, from the cache mount.

    The comment is for the engine, which may remember the layer of an earlier measurement.
    """
    lock = service.path / "requirements.txt"
    fewer = re.sub(r"(?m)^tenacity==.*\n(?: +--hash.*\n)+", "", lock.read_text())
    lock.write_text(f"{fewer}# {uuid.uuid4()}\n")
    return build(service)


def build(service: Service, *options: str) -> float:
    command = ["docker", "build", "--quiet", "--target=production", f"--tag={service.path.name}"]
    return timed(lambda: service.run(*command, *options, "."))


def size_over_base(service: Service) -> int:
    version = (service.path / ".python-version").read_text().strip()
    return size(service.path.name) - size(f"python:{version}-slim")


def size(image: str) -> int:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def timed(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def megabytes(value: int) -> str:
    return f"{value / MEGABYTE:.0f} MB"


if __name__ == "__main__":
    sys.exit(main())
