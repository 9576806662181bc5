"""A LiteLLM proxy between the service and the mock API, and another service behind that proxy.

    behind:    service → LiteLLM → mock API
    in front:  client → LiteLLM → /openai/v1 of the service → mock API

In front there are two services: `service` leaves retries to the gateway, and `strict` has keys of clients, a limit
of some calls a minute for each provider, and retries of its own.

`LITELLM` is the path of the program `litellm` (docs/gateways.md); without it the tests are skipped.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from mock_api.testing import running_server
from tests.client_keys import KEYS, entry

KEY = "sk-gateway"
MODEL = "gpt-5-mini"
EMBEDDING_MODEL = "text-embedding-3-small"
STRICT_LIMIT = 3
_START_S = 300  # LiteLLM imports for ten seconds on a quiet machine
_TOO_LONG = {
    "error": {
        "message": "This model's maximum context length is 400 tokens. However, your messages "
        "resulted in 4000 tokens. Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}


@dataclass(frozen=True)
class Gateway:
    """The addresses; `mock` has the faults and the records of all requests."""

    litellm: str
    service: str
    strict: str
    mock: httpx2.Client

    def fault(self, **fault: object) -> None:
        self.mock.put("/_mock/faults", json=fault).raise_for_status()

    def requests(self) -> list[dict[str, dict[str, str]]]:
        """The requests that arrived at the provider."""
        found: list[dict[str, dict[str, str]]] = self.mock.get("/_mock/requests").json()
        return found

    def asked_of_strict(self) -> int:
        """The questions that arrived at the strict service, with those that have no valid key."""
        lines = httpx2.get(f"{self.strict}/metrics", trust_env=False).text.splitlines()
        found = [line for line in lines if line.startswith('http_requests_total{method="POST"')]
        return sum(int(float(line.split()[-1])) for line in found)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    if (program := os.environ.get("LITELLM")) is None:
        pytest.skip("LITELLM is not set: docs/gateways.md says how to install it")
    place = tmp_path_factory.mktemp("litellm")
    with (
        running_server() as mock,
        _too_long() as short,
        _running(place / "service.log", _APP, _service(mock)) as service,
        _running(place / "strict.log", _APP, _strict(mock, short)) as strict,
    ):
        config = place / "config.yaml"
        config.write_text(json.dumps(_config(mock, short, service, strict)))  # JSON is YAML
        with (
            _running(place / "litellm.log", [program, "--config", str(config)], _QUIET) as litellm,
            httpx2.Client(base_url=mock, trust_env=False) as client,
        ):
            yield Gateway(litellm, service, strict, client)


@pytest.fixture
def gateway(programs: Gateway) -> Gateway:
    programs.mock.delete("/_mock/faults")
    programs.mock.delete("/_mock/requests")
    return programs


_APP = [sys.executable, "-m", "app"]
# Without the first one LiteLLM reads its prices from the network at each start.
_QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "HOME": "."}


def _service(mock: str) -> dict[str, str]:
    """The settings of a service that leaves retries to the gateway in front of it."""
    return {
        "PYTHONPATH": "src",
        "OPENAI_BASE_URL": f"{mock}/v1",
        "LLM_PROVIDERS": "openai",
        "RETRY_MAX_ATTEMPTS": "1",
        "ENABLE_CACHING": "false",
        "BREAKER_FAILURES": "100",
    }


def _strict(mock: str, short: str) -> dict[str, str]:
    """The settings of a service that is the owner of retries."""
    return {
        "PYTHONPATH": "src",
        "OPENAI_BASE_URL": f"{mock}/v1",
        "LLM_PROVIDERS": "openai,short",
        "PROVIDERS__SHORT__API": "openai",
        "PROVIDERS__SHORT__BASE_URL": f"{short}/v1",
        "PROVIDERS__SHORT__API_KEY": "sk-mock",
        "PROVIDERS__SHORT__MODEL": MODEL,
        "HEALTH_PROBE_INTERVAL_S": "0",
        "ENABLE_CACHING": "false",
        "CLIENT_KEYS": entry("acme"),
        "RATE_LIMIT_REQUESTS_PER_MINUTE": str(STRICT_LIMIT),
        "RATE_LIMIT_MAX_WAIT_S": "0",
    }


def _config(mock: str, short: str, service: str, strict: str) -> dict[str, object]:
    addresses = {
        MODEL: f"{mock}/v1",
        EMBEDDING_MODEL: f"{mock}/v1",
        "short": f"{short}/v1",
        "service": f"{service}/openai/v1",
        "embeddings-of-service": f"{service}/openai/v1",
        "strict": f"{strict}/openai/v1",
        "strict-with-a-wrong-key": f"{strict}/openai/v1",
        "short-of-strict": f"{strict}/openai/v1",
    }
    models = {
        "short": MODEL,
        "service": MODEL,
        "embeddings-of-service": EMBEDDING_MODEL,
        "strict": "auto",
        "strict-with-a-wrong-key": "auto",
        "short-of-strict": "short",
    }
    keys = {"strict": KEYS["acme"], "short-of-strict": KEYS["acme"]}
    return {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {
                    "model": f"openai/{models.get(name, name)}",
                    "api_base": address,
                    "api_key": keys.get(name, "sk-mock"),
                },
            }
            for name, address in addresses.items()
        ],
        "general_settings": {"master_key": KEY, "forward_client_headers_to_llm_api": True},
        # The tests make each kind of error once; a cooldown would answer in place of the provider.
        "router_settings": {"num_retries": 2, "retry_after": 0, "disable_cooldowns": True},
    }


@contextmanager
def _running(log: Path, command: list[str], settings: dict[str, str]) -> Iterator[str]:
    """A program at an unused port, when it answers; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [] if "-m" in command else ["--host", "127.0.0.1", "--port", str(port)]
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), **settings}
    with log.open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - the program that LITELLM names
            [*command, *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    paths = ("/healthz", "/health/liveliness")
    while not any(_answers(address + path) for path in paths):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


class _TooLong(BaseHTTPRequestHandler):
    """A provider that finds every request too long for its model."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(_TOO_LONG).encode()
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base's
        """The tests' output is enough."""


@contextmanager
def _too_long() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _TooLong)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
