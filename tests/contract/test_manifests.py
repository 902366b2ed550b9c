"""What deploy/kubernetes promises is what the code does: variables, ports, probes, the time to end, ways, backlog."""

import base64
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from deploy.containers.build import STAGES
from deploy.observability.dashboards import DASHBOARDS
from deploy.observability.dashboards import rendered as dashboard
from services.api.app import create_app as create_api
from services.api.settings import ApiSettings, WorkerSettings
from services.inference.scaling import backlog_query
from services.inference.settings import InferenceSettings
from services.notifier.app import create_app as create_notifier
from services.notifier.settings import NotifierSettings
from shared import first_process
from shared.lifecycle import create_health_app
from tests.support.alerts import alerts
from tests.support.manifests import CONTAINERFILE, OVERLAYS, Json, objects

SETTINGS: Mapping[str, type[BaseSettings]] = {
    "api": ApiSettings,
    "operations": WorkerSettings,
    "inference-runs": InferenceSettings,
    "inference-previews": InferenceSettings,
    "notifier": NotifierSettings,
    "bootstrap": ApiSettings,
}
"""By the name of the container."""
_OF_THE_OBJECT_STORE = re.compile(r"AWS_[A-Z_]+")
_ADDRESSES = {
    "DATABASE_URL": "postgresql://user@host/name",
    "REDIS_URL": "redis://host",
    "SECRET_KEY": "0123456789abcdef",
    "OBJECT_STORE_URL": "file:///tmp",
    "TRITON_URL": "triton:8001",
}
_OURS = tuple(name for name in SETTINGS if name != "bootstrap")
_END_SECONDS = 5
"""What a process needs beside its drain: closing what is open, and an interpreter that ends."""

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@dataclass(frozen=True)
class Pod:
    """Of a Deployment, StatefulSet or Job."""

    overlay: str
    owner: Json

    @property
    def name(self) -> str:
        return str(self.owner["metadata"]["name"])

    @property
    def spec(self) -> Json:
        found: Json = self.owner["spec"]["template"]["spec"]
        return found

    @property
    def component(self) -> str:
        return str(self.owner["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"])

    @property
    def containers(self) -> list[Json]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def environment(self, container: Json) -> dict[str, str]:
        """What the container finds; secrets of which only the names are known are empty."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= _given(self.overlay, source)
        return found | {one["name"]: one["value"] for one in container.get("env", [])}


def pods(overlay: str) -> list[Pod]:
    return [Pod(overlay, one) for one in objects(overlay) if one["kind"] in {"Deployment", "StatefulSet", "Job"}]


def ours(overlay: str) -> list[tuple[Pod, Json]]:
    """The containers that run our code, with their pods."""
    return [(pod, one) for pod in pods(overlay) for one in pod.spec["containers"] if one["name"] in SETTINGS]


def of_kind(overlay: str, kind: str) -> list[Json]:
    return [one for one in objects(overlay) if one["kind"] == kind]


def _given(overlay: str, source: Json) -> dict[str, str]:
    if "configMapRef" in source:
        (found,) = [one for one in of_kind(overlay, "ConfigMap") if _is(one, source["configMapRef"])]
        return dict(found["data"])
    wanted = source["secretRef"]
    for one in of_kind(overlay, "Secret"):
        if _is(one, wanted):
            return {name: base64.b64decode(value).decode() for name, value in one["data"].items()}
    return dict.fromkeys(_SECRETS[wanted["name"]], "")


_SECRETS: Mapping[str, tuple[str, ...]] = {
    "prelabel-database": ("DATABASE_URL",),
    "prelabel-redis": ("REDIS_URL",),
    "prelabel-signing": ("SECRET_KEY",),
    "prelabel-object-store": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
}
"""What the operator makes by hand; the README of deploy/kubernetes names them."""


def _is(one: Json, reference: Json) -> bool:
    return bool(one["metadata"]["name"] == reference["name"])


@each_overlay
def test_every_service_is_there(overlay: str) -> None:
    assert {container["name"] for _, container in ours(overlay)} == SETTINGS.keys()


@each_overlay
def test_every_variable_is_a_setting_of_its_service(overlay: str) -> None:
    for pod, container in ours(overlay):
        known = {name.upper() for name in SETTINGS[container["name"]].model_fields}
        given = {name for name in pod.environment(container) if not _OF_THE_OBJECT_STORE.fullmatch(name)}
        assert given <= known, container["name"]


@each_overlay
def test_every_required_setting_is_given_and_all_are_valid(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for pod, container in ours(overlay):
        settings = SETTINGS[container["name"]]
        required = {name.upper() for name, field in settings.model_fields.items() if field.is_required()}
        given = pod.environment(container)
        assert required <= given.keys(), container["name"]
        with monkeypatch.context() as clean:
            for name, value in {**given, **{name: _ADDRESSES[name] for name in required & _ADDRESSES.keys()}}.items():
                clean.setenv(name, value)
            settings()


@each_overlay
def test_the_wait_for_the_schema_has_what_it_reads(overlay: str) -> None:
    waiting = [
        (pod, one) for pod in pods(overlay) for one in pod.containers if one["name"] in {"await-schema", "migrate"}
    ]
    assert {pod.component for pod, _ in waiting} == {*_OURS, "migrate"}
    assert all("DATABASE_URL" in pod.environment(one) for pod, one in waiting)


@each_overlay
def test_what_containers_start_exists(overlay: str) -> None:
    started = [one["command"] for pod in pods(overlay) for one in pod.containers if "python" in one.get("command", [])]
    started += [json.loads(command) for command in re.findall(r'CMD (\["python".*\])', CONTAINERFILE.read_text())]
    # A container's first process would not hear SIGTERM while it loads.
    assert {tuple(command[:3]) for command in started} == {("python", "-m", first_process.__name__)}
    assert all(importlib.util.find_spec(command[3]) for command in started)
    built = {one["image"].rpartition("/")[2].partition(":")[0] for pod in pods(overlay) for one in pod.containers}
    assert built >= set(STAGES)


@each_overlay
def test_ports_and_probes_are_those_of_the_code(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _ADDRESSES.items():
        monkeypatch.setenv(name, value)
    of_workers: Any = create_health_app("worker", None, lambda: False)  # type: ignore[arg-type]
    of_notifier: Any = create_notifier(NotifierSettings())
    served = {
        "api": set(create_api(ApiSettings()).openapi()["paths"]),
        "notifier": {route.path for route in of_notifier._pages.routes},
    }
    by_workers = {route.path for route in of_workers.routes}
    for pod, container in ours(overlay):
        if container["name"] == "bootstrap":
            continue
        (port,) = container["ports"]
        variables = {name: value for name, value in pod.environment(container).items() if name.endswith("_PORT")}
        assert list(variables.values()) == [str(port["containerPort"])], container["name"]
        probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
        assert {probe["port"] for probe in probes.values()} == {port["name"]}
        assert {probe["path"] for probe in probes.values()} <= served.get(container["name"], by_workers)
        # A restart mends no part that is away, so only readiness asks.
        assert [probes[kind]["path"] for kind in ("startup", "readiness", "liveness")] == [
            "/livez",
            "/readyz",
            "/livez",
        ]


@each_overlay
def test_what_the_notifier_serves_leads_to_it(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _ADDRESSES.items():
        monkeypatch.setenv(name, value)
    app: Any = create_notifier(NotifierSettings())
    (ingress,) = [one for one in of_kind(overlay, "Ingress") if one["metadata"]["name"] == "notifier"]
    patterns = [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    for path in ("/v1/ws", *(route.path for route in app._pages.routes if route.path.startswith("/v1/"))):
        asked = re.sub(r"{[^}]+}", "0199", path)
        assert any(re.fullmatch(pattern, asked) for pattern in patterns), path


@each_overlay
def test_services_lead_to_ports_that_are_there(overlay: str) -> None:
    ports = {
        (pod.component, port["name"]): port["containerPort"]
        for pod in pods(overlay)
        for one in pod.spec["containers"]
        for port in one.get("ports", [])
    }
    for service in of_kind(overlay, "Service"):
        component = service["spec"]["selector"]["app.kubernetes.io/component"]
        for port in service["spec"]["ports"]:
            assert ports[component, port["targetPort"]] == port["port"]
    (triton,) = [one for one in of_kind(overlay, "Service") if one["metadata"]["name"] == "triton"]
    assert triton["spec"]["clusterIP"] == "None", "workers choose the pod, so its name is all of them"


@each_overlay
def test_the_time_to_end_is_longer_than_the_drain(overlay: str) -> None:
    for pod, container in ours(overlay):
        if container["name"] == "bootstrap":
            continue
        given, settings = pod.environment(container), SETTINGS[container["name"]].model_fields
        slept = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drains = [
            float(given.get(name.upper(), field.default))
            for name, field in settings.items()
            if re.fullmatch(r"shutdown_(delay|grace)_seconds|(operations|inference)_drain_seconds", name)
            and not (container["name"].startswith("inference") and name.startswith("operations"))
        ]
        assert drains
        assert pod.spec["terminationGracePeriodSeconds"] >= slept + sum(drains) + _END_SECONDS, container["name"]
        assert (slept > 0) == (container["name"] in {"api", "notifier"}), "who is sent requests waits for the proxies"


@each_overlay
def test_nothing_runs_with_more_rights_than_it_needs(overlay: str) -> None:
    for pod in pods(overlay):
        # With service links, Kubernetes sets API_PORT to an address of the Service `api`.
        assert pod.spec["enableServiceLinks"] is False
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["securityContext"]["runAsNonRoot"] is True
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in pod.containers:
            rights = one["securityContext"]
            assert (rights["allowPrivilegeEscalation"], rights["readOnlyRootFilesystem"]) == (False, True)
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= one["resources"]["requests"].keys()
            assert "memory" in one["resources"]["limits"]
    assert all(one["automountServiceAccountToken"] is False for one in of_kind(overlay, "ServiceAccount"))
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each_overlay
def test_what_serves_can_be_moved_and_is_spread(overlay: str) -> None:
    budgets = {one["metadata"]["name"]: one["spec"] for one in of_kind(overlay, "PodDisruptionBudget")}
    for pod in pods(overlay):
        if pod.owner["kind"] == "Deployment":
            assert budgets[pod.name]["selector"]["matchLabels"]["app.kubernetes.io/component"] == pod.component
            assert pod.spec["topologySpreadConstraints"]
            assert (pod.spec.get("priorityClassName") is None) == (pod.name == "inference-runs")
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for one in of_kind(overlay, kind)
    }
    fixed = {pod.name for pod in pods(overlay) if pod.owner["kind"] == "Deployment" and "replicas" in pod.owner["spec"]}
    assert scaled & fixed == set(), "an applied manifest would undo what the autoscaler has done"


@each_overlay
def test_secrets_are_known_by_name(overlay: str) -> None:
    asked = {
        source["secretRef"]["name"]
        for pod, container in [(pod, one) for pod in pods(overlay) for one in pod.containers]
        for source in container.get("envFrom", [])
        if "secretRef" in source
    }
    made = {one["metadata"]["name"] for one in of_kind(overlay, "Secret")}
    assert asked - made == (set() if overlay == "dev" else _SECRETS.keys())
    assert overlay == "dev" or not made, "no secret lies in the repository"


@each_overlay
def test_only_explicit_ways_are_open(overlay: str) -> None:
    policies = [one["spec"] for one in of_kind(overlay, "NetworkPolicy")]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in policies
    workers = {"inference-runs", "inference-previews"}
    at_triton = [
        one for one in policies if "Ingress" in one["policyTypes"] and "triton" in _selected(one["podSelector"])
    ]
    callers = {
        (name, port["port"])
        for one in at_triton
        for rule in one.get("ingress", [])
        for source in rule["from"]
        if "podSelector" in source
        for name in _selected(source["podSelector"])
        for port in rule["ports"]
    }
    assert callers == {(name, 8001) for name in workers}
    leaving = {
        name
        for one in policies
        for rule in one.get("egress", [])
        for target in rule["to"]
        if target.get("ipBlock", {}).get("cidr") in {"0.0.0.0/0", "::/0"}
        for name in _selected(one["podSelector"])
    }
    assert leaving == {*workers, "notifier"}, "fetchers of content and senders of webhooks"


def _selected(selector: Json) -> Iterator[str]:
    if name := selector.get("matchLabels", {}).get("app.kubernetes.io/component"):
        yield name
    for one in selector.get("matchExpressions", []):
        if one["key"] == "app.kubernetes.io/component":
            yield from one["values"]


def test_the_autoscaler_asks_what_the_code_says() -> None:
    asked = {
        one["spec"]["scaleTargetRef"]["name"]: one["spec"]["triggers"][0]["metadata"]["query"].strip()
        for one in of_kind("prod", "ScaledObject")
    }
    assert asked == {"inference-runs": backlog_query("run"), "inference-previews": backlog_query("preview")}


def test_what_is_monitored_has_the_job_that_the_alerts_name() -> None:
    (down,) = [one for one in alerts() if one.name == "PrelabelDown"]
    (job,) = re.findall(r'job=~"([^"]+)"', down.expression)
    seen = set()
    for kind, watched in (("ServiceMonitor", of_kind("prod", "Service")), ("PodMonitor", _pod_templates("prod"))):
        for monitor in of_kind("prod", kind):
            wanted = set(_selected(monitor["spec"]["selector"]))
            found = [one["metadata"]["labels"] for one in watched]
            found = [one for one in found if one["app.kubernetes.io/component"] in wanted]
            assert {one["app.kubernetes.io/component"] for one in found} == wanted
            assert all(re.fullmatch(job, one[monitor["spec"]["jobLabel"]]) for one in found)
            seen |= wanted
    assert seen == {*_OURS, "triton"}


def _pod_templates(overlay: str) -> list[Json]:
    return [pod.owner["spec"]["template"] for pod in pods(overlay)]


def test_the_dashboards_and_the_alerts_are_in_the_cluster() -> None:
    (found,) = [one for one in of_kind("prod", "ConfigMap") if "grafana_dashboard" in one["metadata"].get("labels", {})]
    assert found["data"] == {f"{name}.json": dashboard(name) for name in DASHBOARDS}
    (rule,) = of_kind("prod", "PrometheusRule")
    assert [one["alert"] for group in rule["spec"]["groups"] for one in group["rules"]] == [
        one.name for one in alerts()
    ]
