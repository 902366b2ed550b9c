"""`python tests/support/crd_schemas.py FILE`: objects of KEDA and the Prometheus operator against their schemas.

Runs in `.venv-manifests`. The packages' models let pass what they do not know; here an unknown field is an error. One
that has no schema is an error too, unless Kubernetes itself has it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus
from jsonschema import Draft202012Validator

_MODELS = {
    ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): keda.TriggerAuthentication,
    ("monitoring.coreos.com/v1", "PodMonitor"): prometheus.PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): prometheus.PrometheusRule,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): prometheus.ServiceMonitor,
}
_OF_KUBERNETES = ("apps/", "autoscaling/", "batch/", "policy/")


def main(path: Path) -> int:
    found = [line for one in yaml.safe_load_all(path.read_text()) for line in _errors(one)]
    sys.stdout.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


def _errors(one: dict[str, Any]) -> Iterator[str]:
    version, kind, name = one["apiVersion"], one["kind"], one["metadata"]["name"]
    model = _MODELS.get((version, kind))
    if model is None:
        if version != "v1" and not version.startswith(_OF_KUBERNETES) and ".k8s.io/" not in version:
            yield f"{kind} {name}: there is no schema of {version}"
        return
    schema = _closed(model.model_json_schema(by_alias=True))
    schema["properties"]["metadata"] = {}  # which is checked as everything's is
    for error in Draft202012Validator(schema).iter_errors(one):
        yield f"{kind} {name}: {'/'.join(map(str, error.path))}: {error.message[:200]}"


def _closed(node: Any) -> Any:
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            _closed(value)
    elif isinstance(node, list):
        for value in node:
            _closed(value)
    return node


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
