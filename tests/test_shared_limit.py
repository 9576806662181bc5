"""One rate limit for four processes with wrong clocks, and one index of documents, through the Redis that the service names."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker import docker, needs_docker
from tests.service import Service, free_port, generate

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("docker"),
]


@pytest.fixture
def redis_port() -> Iterator[int]:
    needs_docker()
    name, port = f"redis-{uuid.uuid4().hex[:8]}", free_port()
    docker(
        "run", "--detach", f"--name={name}", f"--publish=127.0.0.1:{port}:6379", "redis:8-alpine"
    )
    yield port
    docker("rm", "--force", name)


def test_processes_keep_one_limit_and_one_index_through_a_real_redis(
    redis_port: int, tmp_path: Path
) -> None:
    service: Service = generate(tmp_path / "service")
    # In turn, because the first ones measure real time.
    for tests in ("tests/redis/test_rate_limit_processes.py", "tests/rag/contract"):
        output = service.run(
            "env", f"REDIS_TEST_URL=redis://127.0.0.1:{redis_port}/0",
            "make", "test", "NATIVE=1", f"ARGS=-m slow {tests}",
        )  # fmt: skip
        assert " passed" in output
        skipped = [line for line in output.splitlines() if line.startswith("SKIPPED")]
        # Those of Postgres run where its image is: see `test_documents_elsewhere.py`.
        assert all("POSTGRES_TEST_URL" in line for line in skipped), skipped
