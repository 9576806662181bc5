"""Redis as a cluster, behind Sentinels, and with TLS: real servers, and the service's own tests against them."""

from pathlib import Path

import pytest

from tests import redis_servers
from tests.docker import needs_docker
from tests.service import Service, generate
from tests.tls_files import write_tls_files

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("docker"),
]

CONTRACT = "tests/rag/contract"
EACH_SCRIPT = "tests/redis/test_each_script.py"
SCRIPTS_OF_JOBS = "tests/features/jobs/test_scripts_of_jobs.py"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    needs_docker()
    return generate(tmp_path_factory.mktemp("redis") / "service")


def passes(service: Service, url: str, tests: str, *variables: str) -> None:
    output = service.run(
        "env", f"REDIS_TEST_URL={url}", *variables,
        "make", "test", "NATIVE=1", f"ARGS=-n 0 -m slow {tests}",
    )  # fmt: skip
    assert " passed" in output
    # The contract tests of the documents skip the stores that are not here.
    assert "skipped" not in output or tests == CONTRACT


def test_each_script_runs_on_a_cluster_of_three(service: Service) -> None:
    with redis_servers.cluster() as url:
        for tests in (EACH_SCRIPT, SCRIPTS_OF_JOBS, CONTRACT):
            passes(service, url, tests)


def test_a_slot_of_a_cluster_that_moves_fails_no_call(service: Service) -> None:
    with redis_servers.cluster() as url:
        passes(service, url, "tests/redis/test_slot_moves.py", "REDIS_TEST_SLOTS=1")


@pytest.mark.parametrize("fault", ["hangs", "ends"])
def test_a_failover_of_a_cluster_fails_no_call(service: Service, fault: str) -> None:
    """A cluster for each fault: after one, the replica is a primary, and may have no replica itself."""
    with redis_servers.cluster(replicas=1) as url:
        passes(service, url, f"tests/redis/test_failover.py -k {fault}", "REDIS_TEST_FAILOVER=1")


def test_a_failover_of_sentinel_fails_no_call(service: Service) -> None:
    with redis_servers.sentinel() as url:
        passes(service, url, EACH_SCRIPT)
        passes(service, url, "tests/redis/test_failover.py", "REDIS_TEST_FAILOVER=1")


def test_tls_with_a_ca_and_a_client_certificate(service: Service, tmp_path: Path) -> None:
    write_tls_files(tmp_path)
    with redis_servers.encrypted(tmp_path) as port:
        files = {
            "REDIS_CA_FILE": "ca.pem",
            "REDIS_CERT_FILE": "client.pem",
            "REDIS_KEY_FILE": "client.key",
        }
        variables = {name: str(tmp_path / file) for name, file in files.items()}
        variables["REDIS_URL"] = f"rediss://127.0.0.1:{port}/0"
        assert uses_redis(service, variables)
        assert not uses_redis(service, {**variables, "REDIS_CERT_FILE": "", "REDIS_KEY_FILE": ""})
        assert not uses_redis(service, {**variables, "REDIS_CA_FILE": ""})


def uses_redis(service: Service, variables: dict[str, str]) -> bool:
    """Whether the settings of the service lead to a Redis that answers."""
    script = (
        "import asyncio\n"
        "from app.redis import client\n"
        "from app.settings import load\n"
        "client.TIMEOUT_S = 10.0  # a busy machine is no refusal\n"
        "async def main():\n"
        "    async with client.open_redis(load().redis_address) as redis:\n"
        "        print('in use:', await redis.check())\n"
        "asyncio.run(main())\n"
    )
    pairs = [f"{name}={value}" for name, value in variables.items()]
    output = service.run("env", *pairs, "PYTHONPATH=src", ".venv/bin/python", "-c", script)
    return "in use: True" in output
