"""The manifests say the same as the code that they run. They go when `deploy/` goes."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api import health
from app.configuration.names import variables
from app.settings import Settings
from app.telemetry.metrics import Metrics
from scripts.chaos.engine import MEMORY_MB
from tests.client_keys import CLIENT_KEYS

PROJECT = Path(__file__).parent.parent.parent
MANIFESTS = PROJECT / "deploy/kubernetes"
ENVIRONMENTS = ("dev", "staging", "prod")


def base(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / f"base/{name}.yaml").read_text())
    return found


POD = base("deployment")["spec"]["template"]["spec"]
WORKER = base("worker")["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


def variables_of(environment: str) -> dict[str, str]:
    files = [MANIFESTS / "base/settings.env", MANIFESTS / f"overlays/{environment}/settings.env"]
    lines = [line for file in files for line in file.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


MARGIN_S = 5  # to close connections and write the last lines of the log


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_pod_may_finish_its_requests_before_it_is_killed(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(environment, monkeypatch)
    needed_s = settings.delay_of_shutdown_s + settings.shutdown_grace_s + MARGIN_S
    assert POD["terminationGracePeriodSeconds"] >= needed_s
    assert "preStop" not in CONTAINER.get("lifecycle", {})  # or its seconds belong into the sum


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_worker_may_finish_its_batches_before_it_is_killed(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed_s = settings_of(environment, monkeypatch).shutdown_grace_s + MARGIN_S
    assert WORKER["terminationGracePeriodSeconds"] >= needed_s


def test_a_worker_differs_from_the_api_by_its_command_only() -> None:
    (worker,) = WORKER["containers"]
    assert worker["args"] == ["python", "-m", "app", "worker"]
    ours = {"name", "args"}
    assert {key: value for key, value in worker.items() if key not in ours} == {
        key: value for key, value in CONTAINER.items() if key not in ours
    }


def test_the_network_policy_is_for_the_api_and_the_worker() -> None:
    (selected,) = base("network-policy")["spec"]["podSelector"]["matchExpressions"]
    pods = [base(name)["spec"]["template"] for name in ("deployment", "worker")]
    labels = [pod["metadata"]["labels"][selected["key"]] for pod in pods]
    assert selected["values"] == labels


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_a_stopping_pod_accepts_until_its_probe_has_failed(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(environment, monkeypatch)
    assert settings.delay_of_shutdown_s >= CONTAINER["readinessProbe"]["periodSeconds"]


def test_make_chaos_has_the_memory_of_the_manifest() -> None:
    assert CONTAINER["resources"]["limits"]["memory"] == f"{MEMORY_MB}Mi"


def test_a_rolling_update_takes_nothing_away_before_the_new_is_there() -> None:
    update = base("deployment")["spec"]["strategy"]["rollingUpdate"]
    assert update["maxUnavailable"] == 0
    assert update["maxSurge"] > 0
    assert "readinessProbe" in CONTAINER


@pytest.mark.parametrize(
    ("probe", "path"),
    [
        pytest.param("startupProbe", "/healthz", id="started"),
        pytest.param("livenessProbe", "/healthz", id="alive"),
        pytest.param("readinessProbe", "/readyz", id="ready"),
    ],
)
def test_each_probe_has_a_path_of_the_service(probe: str, path: str) -> None:
    assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "http"}
    assert path in {getattr(route, "path", None) for route in health.router.routes}


def test_readiness_waits_longer_than_its_own_checks_take() -> None:
    assert CONTAINER["readinessProbe"]["timeoutSeconds"] > 2 * health._CHECK_TIMEOUT_S


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_prometheus_finds_the_metrics_at_the_port_for_operators(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = settings_of(environment, monkeypatch).admin_port
    annotations = base("deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port)
    assert {"name": "admin", "containerPort": port} in CONTAINER["ports"]
    rules = base("network-policy")["spec"]["ingress"]
    assert {"protocol": "TCP", "port": port} in [port for rule in rules for port in rule["ports"]]


def namespaces(rule: dict[str, Any], peers: str) -> set[str]:
    """The namespaces of a rule's peers; `*` is any pod of the cluster, or any address."""
    if not rule.get(peers):
        return {"*"}
    return {_namespace(peer) for peer in rule[peers]}


def _namespace(peer: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    labels = peer.get("namespaceSelector", {"matchLabels": {NAMESPACE: "own"}}).get("matchLabels")
    return labels[NAMESPACE] if labels else "*"


NAMESPACE = "kubernetes.io/metadata.name"


def test_only_named_namespaces_reach_the_service() -> None:
    callers = {
        rule["ports"][0]["port"]: namespaces(rule, "from")
        for rule in base("network-policy")["spec"]["ingress"]
    }
    assert callers == {8000: {"own", "ingress-nginx"}, 9100: {"monitoring"}}


@pytest.mark.parametrize(
    ("namespace", "port"),
    [
        pytest.param("kube-system", 53, id="DNS"),
        pytest.param("169.254.20.10/32", 53, id="NodeLocal DNS"),
        pytest.param("0.0.0.0/0", 443, id="providers"),
        pytest.param("*", 6379, id="Redis"),
        pytest.param("*", 26379, id="Sentinel"),
        pytest.param("*", 5432, id="Postgres"),
        pytest.param("monitoring", 4318, id="OTLP"),
        pytest.param("vault", 8200, id="Vault"),
    ],
)
def test_the_service_reaches_what_it_needs(namespace: str, port: int) -> None:
    rules = base("network-policy")["spec"]["egress"]
    assert any(
        namespace in namespaces(rule, "to") and port in {each["port"] for each in rule["ports"]}
        for rule in rules
    )


def test_the_service_does_not_reach_the_metadata_service_of_its_machine() -> None:
    metadata = ip_address("169.254.169.254")
    for rule in base("network-policy")["spec"]["egress"]:
        for peer in rule.get("to", []):
            block = peer.get("ipBlock", {"cidr": "::/0"})
            allowed = ip_network(block["cidr"])
            excepted = [ip_network(cidr) for cidr in block.get("except", [])]
            assert metadata not in allowed or any(metadata in network for network in excepted)


def test_the_service_of_the_cluster_does_not_expose_the_port_for_operators() -> None:
    assert [port["targetPort"] for port in base("service")["spec"]["ports"]] == ["http"]


def test_the_autoscaler_reads_a_metric_that_the_service_exports() -> None:
    pods = base("autoscaler")["spec"]["metrics"][1]["pods"]
    exported, _ = Metrics().exposition()
    assert f"\n{pods['metric']['name']} ".encode() in exported
    assert pods["target"] == {"type": "AverageValue", "averageValue": "500m"}  # of all places


def test_the_load_may_double_before_a_pod_at_its_target_refuses_calls() -> None:
    target = int(base("autoscaler")["spec"]["metrics"][1]["pods"]["target"]["averageValue"][:-1])
    settings = Settings()
    waiting = settings.http.queue.length_for(settings.max_concurrency) / settings.max_concurrency
    assert 2 * target / 1000 <= 1 + waiting


def test_the_adapter_of_the_readme_serves_the_metric_of_the_autoscaler() -> None:
    name = base("autoscaler")["spec"]["metrics"][1]["pods"]["metric"]["name"]
    readme = (MANIFESTS / "README.md").read_text()
    rules, _ = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (rule,) = yaml.safe_load(rules)["rules"]
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


def test_the_scaler_of_the_readme_scales_the_workers_by_a_metric_that_they_export() -> None:
    readme = (MANIFESTS / "README.md").read_text()
    _, scaler = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    spec = yaml.safe_load(scaler)["spec"]
    (trigger,) = spec["triggers"]
    assert spec["scaleTargetRef"]["name"] == f"my-service-{base('worker')['metadata']['name']}"
    assert spec["minReplicaCount"] == 1
    (metric,) = re.findall(r"max\((\w+)", trigger["metadata"]["query"])
    assert metric in {each.name for each in Metrics().registry.collect()}


def test_without_the_metric_the_autoscaler_has_cpu() -> None:
    cpu, pods = base("autoscaler")["spec"]["metrics"]
    assert (cpu["resource"]["name"], pods["type"]) == ("cpu", "Pods")
    assert "cpu" in CONTAINER["resources"]["requests"]  # its percentage is one of the request


def test_a_drain_takes_one_pod_at_a_time_and_leaves_one() -> None:
    budget, scaler = base("disruption-budget")["spec"], base("autoscaler")["spec"]
    assert budget["maxUnavailable"] == 1 < scaler["minReplicas"]
    assert budget["selector"] == base("deployment")["spec"]["selector"]


def test_the_pod_is_the_user_that_the_image_was_made_for() -> None:
    user, group = POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"]
    assert f"USER {user}:{group}\n" in (PROJECT / "Dockerfile").read_text()
    assert (
        f"EXPOSE {CONTAINER['ports'][0]['containerPort']}\n" in (PROJECT / "Dockerfile").read_text()
    )


def settings_of(environment: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in variables_of(environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-secret")
    monkeypatch.setenv("CLIENT_KEYS", CLIENT_KEYS)
    return Settings()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_service_starts_with_the_settings_of(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings_of(environment, monkeypatch).app_env == environment


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_variable_is_a_setting_and_none_is_a_secret(environment: str) -> None:
    known = variables(Settings)
    for name, value in variables_of(environment).items():
        assert name in known
        assert "@" not in value
        assert not name.endswith(("_KEY", "_TOKEN", "_SECRET_ID"))


def test_the_address_of_a_shared_redis_is_left_to_the_secret() -> None:
    """It holds a password. The Redis of dev has none."""
    assert "REDIS_URL" not in {*variables_of("staging"), *variables_of("prod")}
