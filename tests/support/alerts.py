"""The alerts of deploy/observability as a test sees them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from deploy.local.stack import ROOT

FOLDER = ROOT / "deploy" / "observability"
RUNBOOKS = ROOT / "docs" / "operations" / "runbooks"
_METRIC = re.compile(r"\b(?:prelabel|nv|node|kubelet|process)_[a-z0-9_]+|\bup\b")


@dataclass(frozen=True)
class Alert:
    name: str
    expression: str
    severity: str
    runbook: Path

    @property
    def metrics(self) -> frozenset[str]:
        return metrics_in(self.expression)


def metrics_in(expression: str) -> frozenset[str]:
    return frozenset(_METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))


@cache
def alerts() -> Sequence[Alert]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"]["severity"], ROOT / rule["annotations"]["runbook"])
        for rule in group["rules"]
    ]
