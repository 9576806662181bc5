"""`make chaos` of a generated service: limits hold, and break when a setting switches them off."""

import os
import re
import signal
import time
import uuid
from collections.abc import Iterator

import pytest

from tests.docker import docker, needs_docker, needs_image
from tests.service import Service, generate

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(900)]


SMALL = "replicas --replicas 2 --rate 20 --seconds 4"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    needs_docker()
    name = f"svc-{uuid.uuid4().hex[:8]}"
    service = generate(tmp_path_factory.mktemp("chaos") / "Some where", project_slug=name)
    yield service
    docker("image", "rm", "--force", name)


def chaos(service: Service, arguments: str) -> list[str]:
    """The lines of the table."""
    output = service.run("make", "chaos", f"ARGS={arguments}")
    return re.findall(r"^.* (?:kept|BROKEN|not tested)$", output, re.MULTILINE)


def test_a_new_clone_keeps_the_limits_without_an_installation(service: Service) -> None:
    """The other groups take minutes; the weekly workflow runs them."""
    lines = chaos(service, "head answers isolation stop")
    assert [line for line in lines if line.endswith("BROKEN")] == []
    assert {line.split()[0] for line in lines} == {"head", "answers", "isolation", "stop"}
    assert service.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("memory --set MAX_BYTES_IN_FLIGHT=1099511627776", id="memory"),
        pytest.param("overload --set QUEUE_LENGTH=10000 --set QUEUE_TIMEOUT_S=60", id="overload"),
    ],
)
def test_a_limit_that_a_setting_switches_off_breaks_a_row(service: Service, arguments: str) -> None:
    with pytest.raises(AssertionError, match="BROKEN"):
        chaos(service, arguments)


def test_replicas_behind_nginx_are_replaced_without_a_failed_request(service: Service) -> None:
    needs_image("nginx:alpine")
    try:
        (line,) = chaos(service, "rolling")
    except AssertionError:  # a process that stands still between its last accept and its close
        (line,) = chaos(service, "rolling")
    assert "0 failed" in line


def test_replicas_share_one_limit_while_all_are_replaced_and_redis_restarts(
    service: Service,
) -> None:
    """`make chaos ARGS=replicas` in small: with two replicas, at a rate of every machine."""
    needs_image("nginx:alpine")
    try:
        lines = chaos(service, SMALL)
    except AssertionError:  # as above
        lines = chaos(service, SMALL)
    assert [line for line in lines if not line.endswith("kept")] == []
    phases = [counts(line) for line in lines[1:]]
    assert len(phases) == 5
    for asked, answered, refused, failed in phases:
        assert (asked, failed) == (answered + refused, 0)
    assert all(refused > 0 for _, _, refused, _ in phases[3:])


def test_replicas_without_a_common_redis_exceed_the_limit(service: Service) -> None:
    needs_image("nginx:alpine")
    with pytest.raises(AssertionError, match=r"to one of 10 .* 0 refused, 0 failed +BROKEN"):
        chaos(service, f"{SMALL} --set REDIS_URL=")


def counts(line: str) -> list[int]:
    """The questions of a phase that were asked, answered, refused and failed."""
    found = re.search(r"([\d,]+) asked, ([\d,]+) answered, ([\d,]+) refused, ([\d,]+) failed", line)
    assert found, line
    return [int(count.replace(",", "")) for count in found.groups()]


def test_without_an_engine_it_says_what_to_install(service: Service) -> None:
    with pytest.raises(AssertionError, match="make chaos: the Docker engine does not answer"):
        service.run("env", "DOCKER_HOST=tcp://127.0.0.1:1", "make", "chaos")


def test_ctrl_c_removes_the_containers(service: Service) -> None:
    before = of_chaos()
    with service.running("make", "chaos", "ARGS=slow") as make:
        deadline = time.monotonic() + 300
        while of_chaos() <= before:
            assert make.poll() is None, service.output
            assert time.monotonic() < deadline, service.output
            time.sleep(0.1)
        os.killpg(make.pid, signal.SIGINT)
        assert make.wait(120) != 0
    assert of_chaos() <= before
    assert "Traceback" not in service.output


def of_chaos() -> set[str]:
    return set(docker("ps", "--all", "--quiet", "--filter=label=chaos").split())
