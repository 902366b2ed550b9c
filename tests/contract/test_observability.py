"""Alerts and dashboards name metrics that exist, each alert has its runbook and its test, and `promtool` agrees."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.observability import rule
from deploy.observability.dashboards import DASHBOARDS, FOLDER, rendered
from tests.support.alerts import FOLDER as OBSERVABILITY
from tests.support.alerts import RUNBOOKS, Alert, alerts, metrics_in
from tests.support.metrics_page import metrics, name_of
from tests.support.promtool import promtool

_OURS = {name_of(metric): metric for metric in metrics()}
_SERIES = ("_bucket", "_sum", "_count")
_OF_OTHERS = {
    "up": "Prometheus itself",
    "process_resident_memory_bytes": "every process, by prometheus_client",
    "node_filesystem_avail_bytes": "node_exporter",
    "node_filesystem_size_bytes": "node_exporter",
    "kubelet_volume_stats_available_bytes": "the kubelet",
    "kubelet_volume_stats_capacity_bytes": "the kubelet",
    "nv_gpu_utilization": "Triton on a GPU",
    "nv_gpu_memory_used_bytes": "Triton on a GPU",
}
_OF_TRITON = re.compile(r"nv_inference_[a-z_]+")  # tests/integration/test_dashboards.py asks a real one


def known(name: str) -> bool:
    of_ours = name in _OURS or any(
        name.removesuffix(suffix) in _OURS
        and name.endswith(suffix)
        and _OURS[name.removesuffix(suffix)]._type == "histogram"
        for suffix in _SERIES
    )
    return of_ours or name in _OF_OTHERS or bool(_OF_TRITON.fullmatch(name))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_names_metrics_that_exist_and_has_a_runbook(alert: Alert) -> None:
    assert alert.metrics, "it looks at something"
    assert [name for name in alert.metrics if not known(name)] == []
    assert alert.severity in {"page", "ticket"}
    assert alert.runbook == RUNBOOKS / f"{alert.name}.md"
    text = alert.runbook.read_text()
    assert text.startswith(f"# {alert.name}\n")
    assert ("## Look" in text, "## Do" in text) == (True, True)


def test_labels_in_alerts_are_labels_of_the_metrics() -> None:
    for alert in alerts():
        for name, matchers in re.findall(r"(prelabel_[a-z_]+)\{([^}]*)\}", alert.expression):
            metric = _OURS.get(name) or _OURS[name.removesuffix("_bucket")]
            assert set(re.findall(r"([a-z_]+)[!=]", matchers)) <= {*metric._labelnames, "le"}, alert.name


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert.name for alert in alerts()}


def test_each_alert_is_tested_both_ways() -> None:
    cases = yaml.safe_load((OBSERVABILITY / "alerts_test.yaml").read_text())["tests"]
    found: dict[str, set[bool]] = {}
    for case in cases:
        (rule,) = case["alert_rule_test"]
        found.setdefault(rule["alertname"], set()).add(bool(rule["exp_alerts"]))
    assert found == {alert.name: {True, False} for alert in alerts()}


def test_promtool_agrees() -> None:
    program = promtool()
    if program is None:
        pytest.skip("promtool is in no package that can be had here")
    for words in (("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")):
        done = subprocess.run([str(program), *words], cwd=OBSERVABILITY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "SUCCESS" in done.stdout


def test_the_rule_of_the_operator_has_the_same_alerts() -> None:
    assert rule.RULE.read_text() == rule.rendered(), "run `python -m deploy.observability.rule`"
    assert yaml.safe_load(rule.RULE.read_text())["spec"] == yaml.safe_load(rule.ALERTS.read_text())


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_that_of_its_description_and_names_what_exists(name: str) -> None:
    path = FOLDER / f"{name}.json"
    assert path.read_text() == rendered(name), "run `python -m deploy.observability.dashboards`"
    dashboard = json.loads(path.read_text())
    assert dashboard["panels"]
    for expression in expressions(dashboard):
        assert [one for one in metrics_in(expression) if not known(one)] == [], expression


def test_the_panels_of_a_dashboard_do_not_overlap_and_fit() -> None:
    for path in FOLDER.glob("*.json"):
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken
            taken |= cells


def test_dashboards_are_expressions_that_promtool_reads(tmp_path: Path) -> None:
    program = promtool()
    if program is None:
        pytest.skip("promtool is in no package that can be had here")
    rules = [
        {"record": f"read:{name}:{place}", "expr": expression.replace("$__rate_interval", "5m").replace("$model", ".*")}
        for name in DASHBOARDS
        for place, expression in enumerate(expressions(json.loads(rendered(name))))
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run([str(program), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions(dashboard: Mapping[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"] if "expr" in target)
