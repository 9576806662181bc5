"""The files of `observability/`: a dashboard, rules and alerts that agree with what is exposed.

`make rules` tests when alerts fire. Grafana itself is not here: its JSON is checked by structure.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "observability/prometheus"
GRAFANA = ROOT / "observability/grafana"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()

DASHBOARD = json.loads((GRAFANA / "dashboards/service.json").read_text())
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
def test_every_metric_that_is_asked_for_exists(expression: str) -> None:
    known = exposed() | KNOWN_TO_PROMETHEUS | {rule["record"] for rule in RECORDED}
    assert metrics_of(expression) - known == set()


def test_names_are_found_in_expressions() -> None:
    expression = (
        'sum by (route, le) (rate(a_total{status=~"5.."}[5m])) / 3 * b:c:rate5m or vector(0)'
    )
    assert metrics_of(expression) == {"a_total", "b:c:rate5m"}


def test_every_recorded_rule_is_asked_for() -> None:
    asked = set().union(*(metrics_of(expression) for expression in EXPRESSIONS))
    assert {rule["record"] for rule in RECORDED} - asked == set()


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    """Perhaps by way of a rule. Who adds a metric decides what a person sees of it."""
    sources = {rule["record"]: metrics_of(rule["expr"]) for rule in RECORDED}
    asked = set().union(*(metrics_of(query) for query in QUERIES))
    seen = asked.union(*(sources.get(name, set()) for name in asked))
    families = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in exposed()}
    ours = {name for name in families if not name.startswith("process_")}
    assert ours - {re.sub(r"_(total|bucket)$", "", name) for name in seen} == set()


def test_panels_have_ids_of_their_own_and_places_that_do_not_overlap() -> None:
    ids = Counter(panel["id"] for panel in DASHBOARD["panels"])
    assert max(ids.values()) == 1
    cells = Counter(
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    )
    assert max(cells.values()) == 1
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_asks_the_provisioned_source_and_says_what_it_shows(panel: dict[str, Any]) -> None:
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


def test_for_each_alert_there_is_a_story_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    stories = yaml.safe_load((PROMETHEUS / "rules.test.yml").read_text())["tests"]
    checks = [check for story in stories for check in story.get("alert_rule_test", ())]
    names = {alert["alert"] for alert in ALERTS}
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == names
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} == names
