"""The manifests say the same as the code that they run. They go when `deploy/` goes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.api import health
from app.configuration.names import variables
from app.server import _DRAIN_S
from app.settings import Settings
from app.telemetry.metrics import Metrics

PROJECT = Path(__file__).parent.parent.parent
MANIFESTS = PROJECT / "deploy/kubernetes"
ENVIRONMENTS = ("dev", "staging", "prod")


def base(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / f"base/{name}.yaml").read_text())
    return found


POD = base("deployment")["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


def variables_of(environment: str) -> dict[str, str]:
    files = [MANIFESTS / "base/settings.env", MANIFESTS / f"overlays/{environment}/settings.env"]
    lines = [line for file in files for line in file.read_text().splitlines()]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_a_pod_may_finish_what_it_answers_before_it_is_killed() -> None:
    until_nobody_sends_more = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    patience = POD["terminationGracePeriodSeconds"]
    assert until_nobody_sends_more > 0
    assert patience == until_nobody_sends_more + _DRAIN_S + 5


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
def test_each_probe_asks_what_the_service_answers(probe: str, path: str) -> None:
    assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "http"}
    assert path in {getattr(route, "path", None) for route in health.router.routes}


def test_readiness_waits_longer_than_its_own_checks_take() -> None:
    assert CONTAINER["readinessProbe"]["timeoutSeconds"] > 2 * health._CHECK_TIMEOUT_S


def test_the_autoscaler_reads_a_metric_that_the_service_exports() -> None:
    pods = base("autoscaler")["spec"]["metrics"][1]["pods"]
    exported, _ = Metrics().exposition()
    assert f"\n{pods['metric']['name']} ".encode() in exported
    assert int(pods["target"]["averageValue"]) * 2 == Settings().max_concurrency


def test_the_pod_is_the_user_that_the_image_was_made_for() -> None:
    user, group = POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"]
    assert f"USER {user}:{group}\n" in (PROJECT / "Dockerfile").read_text()
    assert (
        f"EXPOSE {CONTAINER['ports'][0]['containerPort']}\n" in (PROJECT / "Dockerfile").read_text()
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_service_starts_with_the_settings_of(
    environment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables_of(environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-secret")
    assert Settings().app_env == environment


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
