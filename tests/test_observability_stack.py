"""The real Prometheus beside the composed service: rules, scrapes, and every query of the dashboard.

Grafana's image cannot be had everywhere these tests run; its JSON is checked in the service's tests.
"""

import hashlib
import json
import math
import re
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from tests.docker import needs_docker
from tests.engines import REPOSITORY
from tests.service import Service, free_port, generate, wait_until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("docker"),
]

SOURCE = REPOSITORY / "template/observability"
COMPOSE = ("docker", "compose", "--profile", "observability")
CLIENT_KEY = "ck_of-a-test"
# So that every guard has something to do: limits that are reached, breakers that open, queues.
SETTINGS = f"""
CLIENT_KEYS=acme:{hashlib.sha256(CLIENT_KEY.encode()).hexdigest()}
CLIENT_CONCURRENCY=12
MAX_CONCURRENCY=2
QUEUE_LENGTH=1
HEDGE_AFTER_S=0.2
HEDGE_MAX_EXTRA=1
RATE_LIMIT_REQUESTS_PER_MINUTE=600
RATE_LIMIT_BURST=5
RATE_LIMIT_MAX_WAIT_S=0.5
RETRY_BASE_DELAY_S=0.01
BREAKER_FAILURES=3
BREAKER_RESET_S=1
DOCUMENTS_SEARCH_TOOL=true
JOBS_BATCH_POLL_S=1
"""


@dataclass(frozen=True)
class Stack:
    service: Service
    prometheus: str

    def asked(self, path: str, **parameters: str) -> Any:
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def targets(self) -> list[tuple[str, str]]:
        """The result of the last scrape of each job: "unknown" before the first."""
        targets = self.asked("targets")["activeTargets"]
        return sorted((target["labels"]["job"], target["health"]) for target in targets)

    def rules(self) -> list[str]:
        groups = self.asked("rules")["groups"]
        return [rule["health"] for group in groups for rule in group["rules"]]

    def has_data(self, query: str) -> bool:
        results = self.asked("query", query=query)["result"]
        return any(math.isfinite(float(result["value"][1])) for result in results)

    def fail(self, **fault: Any) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.service.mock_port}/_mock/faults",
            data=json.dumps(fault).encode(),
            headers={"content-type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=10).close()

    def live_a_little(self) -> None:
        """Good and bad days of a service, within seconds."""
        self.fail(status=503, path="/v1/chat/completions")
        self.ask(4, provider="openai")
        self.fail(latency_ms=500)
        self.ask(12)
        self.ask(2, text=f"Asked twice at once {uuid.uuid4()}")
        self.fail(latency_ms=0)
        self.ask(3, stream=True)
        self.ask(2, text="What was asked before")
        self.ask(20)
        self.ask(1, key="ck_of-another")
        with suppress(OSError):  # an HTTP error, or late: its documents are being read
            question = {"question": f"How do I follow one request in the log? {uuid.uuid4()}"}
            self.client.post("/v1/ask", question)
        with suppress(OSError):  # refused: too many jobs of this client have not ended
            self.client.post("/v1/jobs", {"kind": "embeddings", "items": ["The Zugspitze"]})
            item = {"messages": [{"role": "user", "content": f"Hello {uuid.uuid4()}"}]}
            self.client.post("/v1/jobs", {"kind": "chat", "mode": "batch", "items": [item]})

    @property
    def client(self) -> Service:
        return replace(self.service, client_key=CLIENT_KEY)

    def ask(self, times: int, text: str = "", *, key: str = CLIENT_KEY, **more: object) -> None:
        service = replace(self.service, client_key=key)

        def once(_number: int) -> None:
            with suppress(OSError, json.JSONDecodeError):  # refused, failed, late, or a stream
                service.ask(text or f"Hello {uuid.uuid4()}", **more)

        with ThreadPoolExecutor(times) as people:
            list(people.map(once, range(times)))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    needs_docker()
    name = f"obs-{uuid.uuid4().hex[:8]}"
    service = generate(tmp_path_factory.mktemp("docker") / name, project_slug=name)
    port = free_port()
    (service.path / ".env").write_text(f"PROMETHEUS_PORT={port}\n{SETTINGS}")
    config = service.path / "observability/prometheus/prometheus.yml"
    config.write_text(config.read_text().replace("15s", "1s"))
    try:
        service.run(*COMPOSE, "up", "--detach", "--wait", "--build", "app", "worker", "prometheus")
        yield Stack(service, f"http://127.0.0.1:{port}")
    finally:
        service.run(*COMPOSE, "down", "--rmi", "local", "--volumes")


def dashboard_queries() -> Iterator[str]:
    dashboard = json.loads((SOURCE / "grafana/dashboards/service.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "30s")


def rule_queries() -> Iterator[str]:
    """The recorded expressions, and the left side of each alert's comparison."""
    for name in ("recording.yml", "alerts.yml"):
        for group in yaml.safe_load((SOURCE / "prometheus" / name).read_text())["groups"]:
            for rule in group["rules"]:
                yield rule.get("record") or re.split(r" (?:>|==) ", rule["expr"])[0]


def test_every_panel_and_every_rule_has_data_from_the_running_service(stack: Stack) -> None:
    waiting = {*dashboard_queries(), *rule_queries()}
    assert len(waiting) > 30
    deadline = time.monotonic() + 180
    while waiting and time.monotonic() < deadline:
        stack.live_a_little()
        waiting -= {query for query in waiting if stack.has_data(query)}
    assert sorted(waiting) == []


def test_prometheus_scrapes_the_service_and_evaluates_every_rule(stack: Stack) -> None:
    wait_until(lambda: stack.targets() == [("app", "up"), ("worker", "up")])
    wait_until(lambda: stack.rules() == ["ok"] * len(list(rule_queries())))


def test_each_alert_fires_in_its_case_only(stack: Stack) -> None:
    assert "SUCCESS" in stack.service.run("make", "rules")


def test_a_rule_that_is_too_lax_fails_its_case(stack: Stack) -> None:
    alerts = stack.service.path / "observability/prometheus/alerts.yml"
    text = alerts.read_text()
    alerts.write_text(text.replace("ratio5m > 0.05", "ratio5m > 0.5"))
    try:
        with pytest.raises(AssertionError, match="ManyErrors"):
            stack.service.run("make", "rules")
    finally:
        alerts.write_text(text)


def test_the_stack_starts_only_with_its_profile(stack: Stack) -> None:
    config = ("config", "--services")
    usual = set(stack.service.run("docker", "compose", *config).split())
    assert set(stack.service.run(*COMPOSE, *config).split()) - usual == {"prometheus", "grafana"}


def test_the_leaf_can_be_removed(stack: Stack) -> None:
    """Without the directory the rest still is a valid composition with a working Makefile."""
    leaf, aside = stack.service.path / "observability", stack.service.path.parent / "aside"
    leaf.rename(aside)
    try:
        stack.service.run("docker", "compose", "config", "--quiet")
        assert "observe" not in stack.service.run("make", "help")
    finally:
        aside.rename(leaf)
