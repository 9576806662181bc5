"""The containers of a run: the production image as it is deployed, the mock API, and Redis.

Each container and the network has a label with the id of the run, and `removed` finds them by it: also
after Ctrl-C in the middle of a `docker run`.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from scripts.chaos.client import Client

PROJECT = Path(__file__).parents[2]
SCRIPTS = PROJECT / "scripts"
# Of the container in deploy/kubernetes/base/deployment.yaml; tests/deploy compares both.
MEMORY_MB = 512
_START_S = 60
_END_S = 60  # a busy engine needs its time; a command that is killed may still make its container
_HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
_REDIS = "redis:8-alpine"
_LOOPBACK = "127.0.0.1"

_SETTINGS = {
    "OPENAI_BASE_URL": "http://mock-api:9000/v1",
    "ANTHROPIC_BASE_URL": "http://mock-api:9000",
    "ENABLE_CACHING": "false",
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "1000000",
    "HEALTH_PROBE_INTERVAL_S": "0",  # a probe would be one request too many for some faults
    "LOG_FORMAT": "json",
}


def host_of(docker_host: str) -> str:
    """The host at which published ports are reached: that of an engine elsewhere, as in GitLab's CI."""
    return urlsplit(docker_host).hostname or _LOOPBACK


class EngineError(Exception):
    """A command of Docker failed."""


def why_not() -> str:
    """Return what to do before `make chaos` can start containers; empty if an engine answers."""
    if not shutil.which("docker"):
        return "it needs Docker: install Docker Engine or Docker Desktop"
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        return "the Docker engine does not answer: start it (`docker info` prints the reason)"
    return ""


_HOST = host_of(os.environ.get("DOCKER_HOST", ""))


def published(port: int) -> str:
    """Docker's option that publishes a port, on this machine only if the engine is here."""
    return f"--publish={_LOOPBACK}::{port}" if _HOST == _LOOPBACK else f"--publish={port}"


async def docker(*arguments: str) -> str:
    """The output of a command of Docker, both streams in order.

    Ctrl-C does not reach it: a `docker run` that ends in the middle may leave a container behind.
    """
    process = await asyncio.create_subprocess_exec(
        "docker",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = (await process.communicate())[0].decode(errors="replace").strip()
    except asyncio.CancelledError:
        await _end(process)
        raise
    if process.returncode:
        raise EngineError(f"docker {' '.join(arguments)}: {output}")
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@dataclass(frozen=True)
class Container:
    id: str

    async def client(self, port: int) -> Client:
        """A client of the port that Docker publishes on this machine."""
        published = (await docker("port", self.id, str(port))).splitlines()[0]
        return Client(_HOST, int(published.rpartition(":")[2]))

    async def state(self) -> Mapping[str, object]:
        found: Mapping[str, object] = json.loads(
            await docker("inspect", "--format={{json .State}}", self.id)
        )
        return found

    async def log(self) -> list[str]:
        return (await docker("logs", self.id)).splitlines()

    async def peak_mb(self) -> int:
        """The most memory that the service's process has ever had."""
        status = await docker("exec", self.id, "cat", "/proc/1/status")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) // 1024


@dataclass(frozen=True)
class Service(Container):
    http: Client
    mock: Client | None

    async def set_faults(self, *faults: Mapping[str, object]) -> None:
        if self.mock is None:
            raise EngineError("this service runs without the mock API")
        await self.mock.ask("PUT", "/_mock/faults", json.dumps(faults).encode())


@dataclass(frozen=True)
class Sizes:
    """How much the groups with replicas do."""

    replacements: int = 3
    """Of the group `rolling`. The others are of the group `replicas`."""
    replicas: int = 6
    per_s: float = 200.0
    phase_s: float = 10.0
    """The length of a phase that does not replace replicas."""


@dataclass(frozen=True)
class Engine:
    """Starts containers of one image; `settings` override those of each row."""

    image: str
    run: str
    settings: Mapping[str, str]
    sizes: Sizes

    @asynccontextmanager
    async def service(
        self, settings: Mapping[str, str] | None = None, *, mock: bool = True
    ) -> AsyncIterator[Service]:
        """The production image in front of a new mock API, until the row ends."""
        api = await self.mock_api() if mock else None
        where = (f"--network={self.run}", published(8000))
        container = await self.start_service(settings or {}, *where)
        mock_client = await api.client(9000) if api else None
        service = Service(container.id, await container.client(8000), mock_client)
        try:
            await answering(service.http)
            yield service
        finally:
            await docker("rm", "--force", "--volumes", service.id, *([api.id] if api else []))

    async def mock_api(self) -> Container:
        """The mock API, which is not in the image, with the image's packages."""
        mounted = f"--volume={PROJECT / 'mock_api'}:/app/src/mock_api:ro"
        where = (published(9000), "--network-alias=mock-api")
        container = await self.start(
            *where, mounted, "--env=PORT=9000", self.image, "python", "-m", "mock_api"
        )
        await answering(await container.client(9000))
        return container

    async def redis(self) -> Container:
        """Redis with as little memory as is needed to fill it later."""
        command = ("redis-server", "--bind", "*", "--protected-mode", "no", "--save", "")
        return await self.start("--network-alias=redis", _REDIS, *command)

    async def start(self, *arguments: str) -> Container:
        """Start a container in the network of the run."""
        return await self._start(f"--network={self.run}", *arguments)

    async def start_service(self, settings: Mapping[str, str], *where: str) -> Container:
        """Start the image as it is deployed. `where` are Docker's options for its network."""
        limit = (f"--memory={MEMORY_MB}m", f"--memory-swap={MEMORY_MB}m")
        all_settings = {**_SETTINGS, **settings, **self.settings}
        variables = [f"--env={name}={value}" for name, value in all_settings.items()]
        return await self._start(*_HARDENED, *limit, *where, *variables, self.image)

    async def _start(self, *arguments: str) -> Container:
        label = f"--label=chaos={self.run}"
        return Container((await docker("run", "--detach", label, *arguments)).splitlines()[-1])


@asynccontextmanager
async def running_engine(
    image: str, settings: Mapping[str, str], sizes: Sizes
) -> AsyncIterator[Engine]:
    run = f"chaos-{uuid4().hex[:8]}"
    try:
        await docker("network", "create", f"--label=chaos={run}", run)
        yield Engine(image, run, settings, sizes)
    finally:
        await _remove(run)


async def _remove(run: str) -> None:
    if started := await docker("ps", "--all", "--quiet", f"--filter=label=chaos={run}"):
        await docker("rm", "--force", "--volumes", *started.split())
    if await docker("network", "ls", "--quiet", f"--filter=label=chaos={run}"):
        await docker("network", "rm", run)


async def answering(http: Client) -> None:
    async with asyncio.timeout(_START_S):
        while (await http.get("/healthz")).status != 200:  # noqa: ASYNC110, PLR2004
            await asyncio.sleep(0.1)
