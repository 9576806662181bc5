"""Several replicas behind one Redis are one service: `docker compose up --scale`."""

import socket
import urllib.error
import uuid
from collections.abc import Iterator

import pytest

from tests.docker import docker, needs_docker
from tests.service import Service, generate

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("docker"),
]

LIMIT = 8


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    """Three of one project, with a limit small enough to be reached."""
    needs_docker()
    name = f"svc-{uuid.uuid4().hex[:8]}"
    project = generate(tmp_path_factory.mktemp("replicas") / name, project_slug=name)
    (project.path / ".env").write_text(
        f"LLM_PROVIDERS=openai\nRATE_LIMIT_REQUESTS_PER_MINUTE={LIMIT}\n"
        "RATE_LIMIT_STRICT=true\nRATE_LIMIT_MAX_WAIT_S=0\n"
    )
    ports = three_free_ports_in_a_row()
    range_ = f"APP_PORT={ports[0]}-{ports[-1]}"
    compose = ("env", range_, "docker", "compose")
    try:
        project.run(*compose, "up", "--build", "--detach", "--wait", "--scale", "app=3", "app")
        yield [Service(project.path, app_port=port) for port in ports]
    finally:
        project.run(*compose, "down", "--rmi", "local")


def three_free_ports_in_a_row() -> list[int]:
    for first in range(20_000, 30_000, 3):
        ports = [first, first + 1, first + 2]
        if all(free(port) for port in ports):
            return ports
    raise AssertionError("no three ports in a row are free")


def free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_an_answer_of_one_replica_is_in_the_cache_of_the_others(replicas: list[Service]) -> None:
    question = f"Hello {uuid.uuid4()}"
    first, *others = replicas
    assert first.ask(question)["cached"] is False
    assert [replica.ask(question)["cached"] for replica in others] == [True, True]


def test_the_replicas_share_one_limit(replicas: list[Service]) -> None:
    """Each of them alone would let all of these through."""
    container = replicas[0].run("docker", "compose", "ps", "--quiet", "redis").strip()
    docker("exec", container, "redis-cli", "flushall")
    statuses = [status_of_a_new_question(replicas[n % 3]) for n in range(LIMIT + 4)]
    assert statuses == [200] * LIMIT + [429] * 4


def status_of_a_new_question(replica: Service) -> int:
    try:
        replica.ask(f"Hello {uuid.uuid4()}")
    except urllib.error.HTTPError as error:
        return error.code
    return 200
