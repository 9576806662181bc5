"""The files of `observability/`: dashboard, rules and alerts use the metrics that the service exposes.

`make rules` tests when alerts fire. Grafana itself is not here: its JSON is checked by structure.
"""

import json
import re
from collections import Counter as Tally
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Metric

from app.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "observability/prometheus"
GRAFANA = ROOT / "observability/grafana"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()

DASHBOARD_FILE = "observability/grafana/dashboards/service.json"
DASHBOARD = json.loads((ROOT / DASHBOARD_FILE).read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


RECORDED = rules("recording.yml")
ALERTS = rules("alerts.yml")
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = QUERIES + [rule["expr"] for rule in (*RECORDED, *ALERTS)]

KNOWN_TO_PROMETHEUS = {"up"}
_STRINGS_LABELS_AND_TIMES = re.compile(r'"[^"]*"|\bby \([^)]*\)|\[[^]]*\]|\b\w+\s*(?=[=!]~?")')
_NAME = re.compile(r"\b([a-z_]+(?::\w+)*)\b(?!\s*\()")
_WORDS = {"or", "and", "unless", "by"}


def metrics_of(expression: str) -> set[str]:
    return set(_NAME.findall(_STRINGS_LABELS_AND_TIMES.sub(" ", expression))) - _WORDS


def exposed() -> set[str]:
    """The names of samples that the service may expose, whether or not it has any yet."""
    names = set()
    for family in Metrics().registry.collect():
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
        names |= {family.name + ending for ending in endings.get(family.type, [""])}
    return names


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_in_an_expression_exists(expression: str) -> None:
    known = exposed() | KNOWN_TO_PROMETHEUS | {rule["record"] for rule in RECORDED}
    assert metrics_of(expression) - known == set()


_QUANTILE = re.compile(r"histogram_quantile\(")
_OF_ALL_REPLICAS = re.compile(
    r"histogram_quantile\([0-9.]+, sum by \(([a-z_, ]+)\) \(rate\(\w+_bucket\[[^]]+\]\)\)\)"
)
_OF_ONE_REPLICA = {"instance", "pod", "replica", "worker"}


@pytest.mark.parametrize("expression", [e for e in EXPRESSIONS if _QUANTILE.search(e)])
def test_a_percentile_is_one_of_the_summed_histograms_of_all_replicas(expression: str) -> None:
    labels = [set(found.split(", ")) for found in _OF_ALL_REPLICAS.findall(expression)]
    assert len(labels) == len(_QUANTILE.findall(expression))
    assert all("le" in each and not each & _OF_ONE_REPLICA for each in labels)


def test_percentiles_are_not_averaged() -> None:
    for expression in EXPRESSIONS:
        assert not re.search(r"\b(avg|max|min|sum)\b[^(]*\(\s*histogram_quantile", expression)


def test_names_are_found_in_expressions() -> None:
    expression = (
        'sum by (route, le) (rate(a_total{status=~"5.."}[5m])) / 3 * b:c:rate5m or vector(0)'
    )
    assert metrics_of(expression) == {"a_total", "b:c:rate5m"}


def test_every_recording_rule_is_used() -> None:
    asked = set().union(*(metrics_of(expression) for expression in EXPRESSIONS))
    assert {rule["record"] for rule in RECORDED} - asked == set()


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    """Directly or through a recording rule."""
    sources = {rule["record"]: metrics_of(rule["expr"]) for rule in RECORDED}
    asked = set().union(*(metrics_of(query) for query in QUERIES))
    seen = asked.union(*(sources.get(name, set()) for name in asked))
    shown = {re.sub(r"_(total|bucket)$", "", name) for name in seen}
    ours = [it for it in Metrics().registry.collect() if not it.name.startswith("process_")]
    missing = [metric for metric in ours if metric.name not in shown]
    assert missing == [], "\n".join(map(how_to_show, missing))


def how_to_show(metric: Metric) -> str:
    panel = json.dumps(panel_of(metric), indent=2)
    return f"{DASHBOARD_FILE} does not show {metric.name}. Append this to its panels:\n{panel}"


def panel_of(metric: Metric) -> dict[str, Any]:
    """A panel for a metric, below all others."""
    source = {"type": "prometheus", "uid": "prometheus"}
    times = metric.type == "histogram"
    query = {
        "counter": f"sum(rate({metric.name}_total[$__rate_interval]))",
        "histogram": f"histogram_quantile(0.95, sum by (le) (rate({metric.name}_bucket[$__rate_interval])))",
    }.get(metric.type, f"sum({metric.name})")
    target = {"refId": "A", "datasource": source, "expr": query, "legendFormat": metric.name}
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    return {
        "id": max(panel["id"] for panel in DASHBOARD["panels"]) + 1,
        "type": "timeseries",
        "title": metric.name,
        "description": metric.documentation,
        "datasource": source,
        "gridPos": {"x": 0, "y": max(it["y"] + it["h"] for it in places), "w": 6, "h": 7},
        "fieldConfig": {"defaults": {"unit": "s" if times else "short", "min": 0}, "overrides": []},
        "targets": [{**target, "range": True}],
    }


def test_the_panel_that_is_proposed_for_a_new_metric_is_a_good_one() -> None:
    jobs = Counter("jobs", "Jobs that have ended.", ["kind"], registry=None)
    (family,) = jobs.collect()
    panel = panel_of(family)
    test_a_panel_has_the_provisioned_source_and_a_description(panel)
    assert metrics_of(panel["targets"][0]["expr"]) == {"jobs_total"}
    assert panel["id"] not in {other["id"] for other in DASHBOARD["panels"]}
    assert all(panel["gridPos"]["y"] >= other["gridPos"]["y"] for other in PANELS)
    assert "does not show jobs. Append this to its panels:" in how_to_show(family)


def test_panels_have_ids_of_their_own_and_places_that_do_not_overlap() -> None:
    ids = Tally(panel["id"] for panel in DASHBOARD["panels"])
    assert max(ids.values()) == 1
    cells = Tally(
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert max(cells.values()) == 1
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_has_the_provisioned_source_and_a_description(panel: dict[str, Any]) -> None:
    provisioned = yaml.safe_load((GRAFANA / "datasources/prometheus.yml").read_text())
    (source,) = ({"type": it["type"], "uid": it["uid"]} for it in provisioned["datasources"])
    assert [panel["datasource"], *(it["datasource"] for it in panel["targets"])] == [source] * (
        1 + len(panel["targets"])
    )
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_each_alert_has_its_section_in_the_runbook_and_each_section_its_alert() -> None:
    sections = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
    assert sections == [alert["alert"] for alert in ALERTS]
    links = [alert["annotations"]["runbook"] for alert in ALERTS]
    assert links == [f"docs/runbook.md#{name.lower()}" for name in sections]


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    stories = yaml.safe_load((PROMETHEUS / "rules.test.yml").read_text())["tests"]
    checks = [check for story in stories for check in story.get("alert_rule_test", ())]
    names = {alert["alert"] for alert in ALERTS}
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == names
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} == names
