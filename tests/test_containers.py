"""The service in real Docker containers: build, up, edit, test, stop; and the production image."""

import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.debugging import answer_after_a_stop, output_after_a_stop
from tests.docker import docker, inspect, logs, needs_docker
from tests.proof import Proof
from tests.questions import CHOICE_COMBINATIONS, Answers
from tests.service import Service, free_port, generate, press_ctrl_c, wait_until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


BOTH_ARE_UP = """
for port in 8000 9000; do
    python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:$port/healthz')" 2>/dev/null || exit 0
done
echo yes
"""
QUESTION = """
import urllib.request as r
body, headers = b'{"question": "How do I add a provider?"}', {"content-type": "application/json"}
print(r.urlopen(r.Request("http://127.0.0.1:8000/v1/ask", body, headers), timeout=20).read().decode())
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    needs_docker()
    name = f"svc-{uuid.uuid4().hex[:8]}"
    service = generate(tmp_path_factory.mktemp("docker") / name, project_slug=name)
    yield service
    service.run("docker", "compose", "--profile", "test", "down", "--rmi", "local", "--volumes")


@pytest.fixture(scope="module")
def image(service: Service) -> Iterator[str]:
    service.run("make", "build")
    yield service.path.name
    docker("image", "rm", "--force", service.path.name)


@pytest.fixture
def container(image: str) -> Iterator[str]:
    """The production image as it should be run: read-only, no capabilities, no new privileges."""
    name = f"{image}-{uuid.uuid4().hex[:6]}"
    docker(
        "run", "--detach", "--name", name, "--read-only", "--cap-drop=ALL",
        "--security-opt=no-new-privileges", "--publish=127.0.0.1::8000", image,
    )  # fmt: skip
    yield name
    docker("rm", "--force", name)


@pytest.fixture(scope="module")
def debug_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def dev(service: Service, debug_port: int) -> Iterator[Service]:
    with service.running("make", "dev", f"DEBUG_PORT={debug_port}") as make:
        service.wait_until_healthy(make, timeout=600)
        yield service
        press_ctrl_c(make)


def test_make_dev_answers_from_the_mock_through_redis(dev: Service) -> None:
    question = f"Hello {uuid.uuid4()}"
    assert "mock API" in dev.ask(question)["content"]
    assert dev.ask(question)["cached"] is True
    keys = dev.run("docker", "compose", "exec", "redis", "redis-cli", "dbsize")
    assert int(keys.split()[-1]) > 0


def test_make_dev_prints_its_addresses(dev: Service) -> None:
    deadline = time.monotonic() + 30
    while f"http://127.0.0.1:{dev.app_port}/docs" not in dev.output:
        assert time.monotonic() < deadline, dev.output
        time.sleep(0.1)


def test_an_edit_is_served_without_a_rebuild(dev: Service) -> None:
    before = dev.run("docker", "compose", "ps", "--quiet", "app")
    assert dev.edit_a_route("live") < 5
    assert dev.run("docker", "compose", "ps", "--quiet", "app") == before


def test_a_debugger_stops_in_a_route_and_again_after_an_edit(dev: Service, debug_port: int) -> None:
    assert "mock API" in answer_after_a_stop(dev, debug_port)
    dev.edit_a_route("debugged")
    assert "mock API" in answer_after_a_stop(dev, debug_port)


def test_a_debugger_stops_in_a_test_in_a_container(service: Service) -> None:
    port = free_port()
    output = output_after_a_stop(service, port)
    assert f"make test: waiting for a debugger at 127.0.0.1:{port}" in output
    assert "1 passed" in output


def test_no_file_of_the_project_changes_its_owner(dev: Service) -> None:
    owners = {path.stat().st_uid for path in dev.path.rglob("*")}
    assert owners == {os.getuid()}


def test_published_ports_are_reachable_from_this_machine_only(dev: Service) -> None:
    names = dev.run("docker", "compose", "ps", "--format", "{{.Name}}").split()
    ports = [inspect(name)["NetworkSettings"]["Ports"] for name in names]
    hosts = {bound["HostIp"] for port in ports for all_ in port.values() for bound in all_ or []}
    assert hosts == {"127.0.0.1"}


def test_make_test_runs_in_a_container_without_network(service: Service) -> None:
    output = service.run("make", "test")
    assert "in a container" in output
    assert " passed" in output
    assert service.run("git", "status", "--porcelain") == ""


def test_the_image_runs_as_a_numbered_user_on_a_read_only_file_system(container: str) -> None:
    wait_until(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy")
    user, _, group = inspect(container)["Config"]["User"].partition(":")
    assert int(user) >= 10_000
    assert int(group) >= 10_000
    assert docker("exec", container, "id", "-u") == user


def test_the_image_stops_cleanly_at_sigterm(container: str) -> None:
    wait_until(lambda: inspect(container)["State"]["Health"]["Status"] == "healthy")
    started = time.monotonic()
    docker("stop", "--timeout=10", container)
    assert time.monotonic() - started < 5
    assert inspect(container)["State"]["ExitCode"] == 0
    assert "Traceback" not in docker("logs", container)


def test_the_image_answers_a_question_about_its_documents(service: Service, image: str) -> None:
    """With all libraries that the question needs, after the build has removed parts of them."""
    name = f"{image}-asked"
    mock = service.path / "mock_api"
    docker("run", "--detach", f"--name={name}", f"--volume={mock}:/app/src/mock_api:ro", image)
    try:
        docker("exec", "--detach", "--env=PORT=9000", name, "python", "-m", "mock_api")
        wait_until(lambda: docker("exec", name, "sh", "-c", BOTH_ARE_UP) == "yes")
        answer = json.loads(docker("exec", name, "python", "-c", QUESTION))
        assert "mock API" in answer["answer"]
        assert ".md#" in answer["contexts"][0]["id"]
    finally:
        docker("rm", "--force", name)


def test_the_image_refuses_a_wrong_configuration_by_name(image: str) -> None:
    name = f"{image}-bad"
    wrong = ["--env=PORT=http", "--env=RETRY_MAX_ATTEMPTS=0", "--env=DEBUG_PORT=5678"]
    docker("run", "--detach", f"--name={name}", *wrong, image)
    try:
        assert docker("wait", name) == "78"
        said = logs(name)
        assert all(f"  {each}: " in said for each in ("PORT", "RETRY_MAX_ATTEMPTS", "DEBUG_PORT"))
    finally:
        docker("rm", "--force", name)


@pytest.mark.parametrize(
    "tool", ["pip", "pip3", "apt", "apt-get", "dpkg", "uv", "gcc", "cc", "make"]
)
def test_the_image_has_no_tool_that_installs_or_compiles(image: str, tool: str) -> None:
    found = docker("run", "--rm", image, "sh", "-c", f"command -v {tool} || echo none")
    assert found == "none"


def test_no_program_of_the_image_runs_as_another_user(image: str) -> None:
    found = docker(
        "run", "--rm", "--user=0", image, "find", "/", "-xdev", "-type", "f", "-perm", "/6000"
    )
    assert found == ""


@pytest.mark.parametrize(
    "module", ["pip", "ensurepip", "pytest", "mypy", "mock_api", "watchfiles", "debugpy"]
)
def test_the_image_has_no_module_of_development(image: str, module: str) -> None:
    code = f"import importlib.util as u; print(u.find_spec({module!r}))"
    assert docker("run", "--rm", image, "python", "-c", code) == "None"


def test_the_image_holds_the_code_compiled_and_nothing_else_of_the_project(image: str) -> None:
    files = docker("run", "--rm", image, "sh", "-c", "cd /app && find . -type f").split()
    sources = {file for file in files if file.endswith(".py")}
    assert sources
    # `/v1/ask` answers from the documents, and keys in Redis begin with the project's name.
    assert all(file.startswith(("./src/app/", "./docs/", "./pyproject.toml")) for file in files)
    assert len([file for file in files if file.endswith(".pyc")]) == len(sources)


def test_docker_compose_up_alone_becomes_healthy(service: Service) -> None:
    """Without the Makefile: no user id is set, and no image is built before."""
    other = Service(service.path)
    project = ("docker", "compose", "--project-name", f"{service.path.name}-plain")
    try:
        other.run(*project, "up", "--detach", "--wait", "--build")
        assert "mock API" in other.ask()["content"]
    finally:
        other.run(*project, "down", "--rmi", "local")


def test_a_secret_in_the_directory_never_reaches_the_image(service: Service) -> None:
    secret = service.path / ".env"
    secret.write_text("OPENAI_API_KEY=sk-canary\n")
    tag = f"{service.path.name}-secret"
    try:
        service.run("docker", "build", "--quiet", "--target", "production", "--tag", tag, ".")
        found = docker("run", "--rm", tag, "sh", "-c", "grep -rl sk-canary /app /opt || echo none")
        assert found == "none"
    finally:
        secret.unlink()
        docker("image", "rm", "--force", tag)


@pytest.mark.parametrize(("name", "answers"), CHOICE_COMBINATIONS.items(), ids=CHOICE_COMBINATIONS)
def test_the_image_of_a_combination_has_the_chosen_python_and_becomes_healthy(
    tmp_path: Path, proof: Proof, name: str, answers: Answers
) -> None:
    needs_docker()
    combination = f"{name}, image"
    proof.begin(combination, "installed", "built", "ran")
    slug = f"svc-{uuid.uuid4().hex[:8]}"
    service = generate(tmp_path / "Some where", project_slug=slug, **answers)
    try:
        service.run("make", "build")
        version = docker(
            "run", "--rm", slug, "python", "-c", "import sys; print(*sys.version_info)"
        )
        assert version.split()[:2] == answers["python_version"].split(".")
        proof.show(combination, "installed", "built")
        docker("run", "--detach", f"--name={slug}", slug)
        wait_until(lambda: inspect(slug)["State"]["Health"]["Status"] == "healthy", 90)
        proof.show(combination, "ran")
    finally:
        docker("rm", "--force", slug)
        docker("image", "rm", "--force", slug)
