"""The tables of docs/operations/metrics.md, made from the metrics themselves.

`python -m tests.support.metrics_page` writes them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from services.api import purging as of_purging
from services.api import removal as of_removal
from services.api import retention as of_retention
from services.api.metrics import HttpMetrics
from services.inference import metrics as of_inference
from services.notifier import metrics as of_notifier
from shared import operations as of_operations
from tests.support.alerts import alerts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations" / "metrics.md"
PREFIXES = ("prelabel_api_", "prelabel_operations_", "prelabel_inference_", "prelabel_notifier_")
"""One a kind of process; the workers of `inference` count operations too."""


_SERIES = ("_bucket", "_sum", "_count")
_REGISTERED = (of_inference, of_notifier, of_operations, of_purging, of_removal, of_retention)  # by being imported


def metrics() -> Iterator[MetricWrapperBase]:
    """All of ours, by name."""
    found = [*_of(REGISTRY), *_of(HttpMetrics().registry)]
    yield from sorted(found, key=name_of)


def name_of(metric: MetricWrapperBase) -> str:
    """As Prometheus shows it."""
    return f"{metric._name}_total" if metric._type == "counter" else str(metric._name)


def table(prefix: str) -> str:
    lines = [
        f"| `{name_of(one)}` | {one._type} | {_labels(one)} | {one._documentation} | {_worries(name_of(one))} |"
        for one in metrics()
        if one._name.startswith(prefix)
    ]
    return "\n".join(["| metric | type | labels | what it counts | worry |", "|---|---|---|---|---|", *lines])


def page() -> str:
    """As it should be."""
    text = PAGE.read_text()
    for prefix in PREFIXES:
        begin, end = f"<!-- {prefix}: begin -->", f"<!-- {prefix}: end -->"
        before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
        text = f"{before}\n{table(prefix)}\n{after}"
    return text


def _of(registry: CollectorRegistry) -> set[MetricWrapperBase]:
    return {one for one in registry._collector_to_names if isinstance(one, MetricWrapperBase)}


def _worries(name: str) -> str:
    """Links to what to do about the alerts on it."""
    found = [
        one.name for one in alerts() if name in one.metrics or any(name + suffix in one.metrics for suffix in _SERIES)
    ]
    return ", ".join(f"[{one.removeprefix('Prelabel')}](runbooks/{one}.md)" for one in found)


def _labels(metric: MetricWrapperBase) -> str:
    return ", ".join(f"`{name}`" for name in metric._labelnames) or "none"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.name} is up to date\n")
