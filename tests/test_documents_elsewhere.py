"""The production image with its documents in Postgres or Redis: with the extra `postgres`, without NumPy."""

import json
import time
import urllib.request
import uuid
from collections.abc import Iterator

import pytest

from tests.docker import docker, inspect, logs, needs_docker, needs_image
from tests.service import Service, generate

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

POSTGRES, REDIS = "pgvector/pgvector:pg17", "redis:8-alpine"
SERVERS = {
    "postgres": ("--env=POSTGRES_PASSWORD=pw", POSTGRES),
    "redis": (REDIS,),
}
SETTINGS = {
    "postgres": {"DOCUMENTS_POSTGRES_URL": "postgresql://postgres:pw@server/postgres"},
    "redis": {"REDIS_URL": "redis://server:6379/0"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """As docs/deploy.md says it: the extra in the Makefile, then `make lock` and `make build`."""
    needs_docker()
    needs_image(POSTGRES)
    name = f"svc-{uuid.uuid4().hex[:8]}"
    service = generate(tmp_path_factory.mktemp("documents") / name, project_slug=name)
    makefile = service.path / "Makefile"
    text = makefile.read_text()
    assert "\nSTORE := memory\n" in text
    makefile.write_text(text.replace("\nSTORE := memory\n", "\nSTORE := postgres\n"))
    service.run("make", "lock")
    service.run("make", "build")
    yield service
    docker("image", "rm", "--force", name)


@pytest.fixture(params=["postgres", "redis"])
def store(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def server(project: Service, store: str) -> Iterator[str]:
    """The store and the mock API, on a network of their own."""
    name = f"{project.path.name}-{store}"
    docker("network", "create", name)
    docker(
        "run",
        "--detach",
        "--name",
        name,
        f"--network={name}",
        "--network-alias=server",
        *SERVERS[store],
    )
    docker(
        "run", "--detach", "--name", f"{name}-mock", f"--network={name}", "--network-alias=mock-api",
        f"--volume={project.path / 'mock_api'}:/app/src/mock_api:ro", "--env=PORT=9000",
        project.path.name, "python", "-m", "mock_api",
    )  # fmt: skip
    yield name
    docker("rm", "--force", "--volumes", name, f"{name}-mock")
    docker("network", "rm", name)


@pytest.fixture
def container(project: Service, store: str, server: str) -> Iterator[str]:
    name = f"{server}-app"
    settings = {
        "DOCUMENTS_STORE": store,
        "DOCUMENTS_DIR": "/app/docs",
        "OPENAI_BASE_URL": "http://mock-api:9000/v1",
        "ANTHROPIC_BASE_URL": "http://mock-api:9000",
        **SETTINGS[store],
    }
    docker(
        "run", "--detach", "--name", name, f"--network={server}", "--read-only", "--cap-drop=ALL",
        "--publish=127.0.0.1::8000", *(f"--env={key}={value}" for key, value in settings.items()),
        project.path.name,
    )  # fmt: skip
    yield name
    docker("rm", "--force", name)


def ask(container: str) -> dict[str, object]:
    """Ask until the store has started and the documents are indexed."""
    port = inspect(container)["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostPort"]
    body = json.dumps({"question": "How do I add a provider?"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/ask", body, {"content-type": "application/json"}
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                found: dict[str, object] = json.load(answer)
        except OSError:  # also a status of an error
            assert time.monotonic() < deadline, logs(container)
            time.sleep(1)
        else:
            return found


def test_the_image_answers_from_documents_elsewhere_without_numpy(container: str) -> None:
    assert ask(container)["contexts"]
    assert "No module named 'numpy'" in docker(
        "exec", container, "python", "-c",
        "try: import numpy\nexcept ImportError as error: print(error)",
    )  # fmt: skip
    assert "Traceback" not in logs(container)
