"""Redis as teams run it: a cluster, a primary and replica with Sentinels, and TLS. Each is one container.

All servers of a container listen at 127.0.0.1 on ports that are the same inside and outside, so the
addresses that they tell each other are right for a client of this machine, too.
"""

import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docker import docker

IMAGE = "redis:8-alpine"
_START_S = 120
# A cluster's nodes talk to each other at their port + 10000.
_FIRST_PORT, _LAST_PORT = 21_000, 31_000
_COMMON = '--bind 0.0.0.0 --protected-mode no --save "" --enable-debug-command yes'


@contextmanager
def cluster(replicas: int = 0) -> Iterator[str]:
    """Three primaries, each with so many replicas."""
    ports = _free_ports(3 * (1 + replicas))
    options = f"{_COMMON} --cluster-enabled yes --cluster-node-timeout 2000 --cluster-announce-ip 127.0.0.1"
    servers = [
        f"redis-server --port {port} {options} --cluster-config-file {port}.conf" for port in ports
    ]
    with _container(ports, servers) as name:
        for port in ports:
            _until(name, port, "ping", "PONG")
        nodes = [f"127.0.0.1:{port}" for port in ports]
        create = (
            "--cluster",
            "create",
            *nodes,
            "--cluster-replicas",
            str(replicas),
            "--cluster-yes",
        )
        docker("exec", name, "redis-cli", *create)
        for port in ports:
            _until(name, port, "cluster info", "cluster_state:ok")
        for port in ports[3:]:
            _until(name, port, "info replication", "master_link_status:up")
        yield f"redis+cluster://{nodes[0]},{nodes[1]}/"


@contextmanager
def sentinel() -> Iterator[str]:
    """A primary with a replica, and three Sentinels, of which two decide."""
    primary, replica, *sentinels = ports = _free_ports(5)
    servers = [
        f"redis-server --port {primary} {_COMMON}",
        f"redis-server --port {replica} {_COMMON} --replicaof 127.0.0.1 {primary}",
        *(_sentinel(port, primary) for port in sentinels),
    ]
    with _container(ports, servers) as name:
        for port in ports:
            _until(name, port, "ping", "PONG")
        for port in sentinels:
            _until(name, port, "sentinel master shop", "num-slaves\n1")
            _until(name, port, "sentinel master shop", "num-other-sentinels\n2")
        _until(name, replica, "info replication", "master_link_status:up")
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        yield f"redis+sentinel://{hosts}/shop"


def _sentinel(port: int, primary: int) -> str:
    """A Sentinel writes what it learns into its file."""
    lines = [
        "protected-mode no",
        f"sentinel monitor shop 127.0.0.1 {primary} 2",
        "sentinel down-after-milliseconds shop 2000",
        "sentinel failover-timeout shop 3000",
    ]
    file, written = f"{port}.conf", " ".join(f"'{line}'" for line in lines)
    return f"printf '%s\\n' {written} > {file}; redis-server {file} --port {port} --sentinel"


@contextmanager
def encrypted(directory: Path) -> Iterator[int]:
    """A server that speaks TLS only and asks for a certificate: `ca.pem`, `server.*` of the directory."""
    (port,) = ports = _free_ports(1)
    files = "--tls-ca-cert-file /tls/ca.pem --tls-cert-file /tls/server.pem --tls-key-file /tls/server.key"
    server = f"redis-server --port 0 --tls-port {port} {_COMMON} {files} --tls-auth-clients yes"
    with _container(ports, [server], f"--volume={directory}:/tls:ro") as name:
        files = "--tls --cacert /tls/ca.pem --cert /tls/client.pem --key /tls/client.key"
        _until(name, port, f"{files} ping", "PONG")
        yield port


@contextmanager
def _container(ports: list[int], servers: list[str], *options: str) -> Iterator[str]:
    name = f"redis-{uuid.uuid4().hex[:8]}"
    published = [f"--publish=127.0.0.1:{port}:{port}" for port in ports]
    script = " ".join(f"({server}) &" for server in servers) + " wait"
    docker("run", "--detach", f"--name={name}", *published, *options, IMAGE, "sh", "-c", script)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def _until(name: str, port: int, command: str, expected: str) -> None:
    deadline = time.monotonic() + _START_S
    found = ""
    while time.monotonic() < deadline:
        try:
            found = docker("exec", name, "redis-cli", "-p", str(port), *command.split())
        except AssertionError as error:
            found = str(error)
        if expected in found.replace("\r", ""):
            return
        time.sleep(0.2)
    raise AssertionError(f"{command} at {port}: no {expected!r} in {found}")


def _free_ports(count: int) -> list[int]:
    found = [port for port in range(_FIRST_PORT, _LAST_PORT) if _is_free(port)][:count]
    assert len(found) == count
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
