"""`python -m deploy.observability.rule` writes rule.yaml: alerts.yaml as the Prometheus operator takes it."""

import sys
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent
ALERTS, RULE = _FOLDER / "alerts.yaml", _FOLDER / "rule.yaml"
_HEAD = "# Made from alerts.yaml by `python -m deploy.observability.rule`.\n"


def rendered() -> str:
    rule: dict[str, Any] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "prelabel"},
        "spec": yaml.safe_load(ALERTS.read_text()),
    }
    written: str = yaml.safe_dump(rule, sort_keys=False, width=120)
    return _HEAD + written


def main() -> None:
    RULE.write_text(rendered())
    sys.stdout.write(f"{RULE.name} is up to date\n")


if __name__ == "__main__":
    main()
