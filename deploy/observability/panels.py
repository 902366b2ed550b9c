"""The form that Grafana gives a dashboard, as far as ours need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
Unit = Literal["short", "s", "ms", "reqps", "percentunit", "bytes", "none"]
PROMETHEUS: Json = {"type": "prometheus", "uid": "${prometheus}"}
POSTGRES: Json = {"type": "grafana-postgresql-datasource", "uid": "${postgresql}"}
_WIDTH, _HEIGHT = 24, 8
_SCHEMA_VERSION = 39


@dataclass(frozen=True)
class Panel:
    """`queries` by legend. `wide` counts how many of three fit into a line."""

    title: str
    about: str
    queries: Mapping[str, str]
    unit: Unit = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    source: Literal["prometheus", "postgresql"] = "prometheus"
    width: int = 8


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    about: str
    panels: Sequence[Panel]
    variables: Sequence[Json]


def source(name: str, plugin: str) -> Json:
    """Which data source of that kind; the viewer chooses where there are several."""
    return {"name": name, "type": "datasource", "query": plugin, "label": name}


def as_json(dashboard: Dashboard) -> Json:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["prelabel"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(dashboard.variables)},
        "panels": list(_placed(dashboard.panels)),
    }


def _placed(panels: Sequence[Panel]) -> Sequence[Json]:
    placed, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + _HEIGHT
        placed.append({"id": number, "gridPos": {"x": x, "y": y, "w": panel.width, "h": _HEIGHT}, **_panel(panel)})
        x += panel.width
    return placed


def _panel(panel: Panel) -> Json:
    of_prometheus = panel.source == "prometheus"
    where = PROMETHEUS if of_prometheus else POSTGRES
    targets = [
        {"refId": chr(ord("A") + place), "datasource": where, **(_promql if of_prometheus else _sql)(legend, query)}
        for place, (legend, query) in enumerate(panel.queries.items())
    ]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": where,
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
    }


def _promql(legend: str, query: str) -> Json:
    return {"expr": query, "legendFormat": legend}


def _sql(legend: str, query: str) -> Json:
    return {"rawSql": query, "rawQuery": True, "format": "table", "editorMode": "code", "legendFormat": legend}


def quantile_of(quantile: float, metric: str, by: str, where: str = "") -> str:
    return f"histogram_quantile({quantile}, sum by (le, {by}) (rate({metric}_bucket{where}[$__rate_interval])))"


def rate_of(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"
