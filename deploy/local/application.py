"""Prelabel's own processes: migrations and first key, then the services."""

import math
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from deploy.local.http import answers_ok
from deploy.local.service import Service, ServiceUnusable, Stopping
from deploy.local.state import StateFolder
from deploy.local.triton import ModelStore

ROOT = Path(__file__).resolve().parents[2]

SET_HERE = ("API_HOST", "NOTIFIER_HOST", "INFERENCE_PURPOSE", "OBJECT_STORE_URL", "SECRET_KEY")
"""Variables of the services that are the local stack's own affair: what the environment says has no effect."""

# How long each may take to finish what it has begun, unless the environment says otherwise. On one machine nobody
# else waits for it, and what is cut short is done again.
_DRAINS: Mapping[str, Mapping[str, str]] = {
    "services.api": {"SHUTDOWN_GRACE_SECONDS": "10"},
    "services.api.worker": {"OPERATIONS_DRAIN_SECONDS": "10"},
    "services.inference": {"INFERENCE_DRAIN_SECONDS": "5"},
    "services.notifier": {},
}
_PATIENCE_SECONDS = 15  # beyond the drain, before a service is killed


def application(
    state: StateFolder, ports: Mapping[str, int], models: ModelStore, environment: Mapping[str, str]
) -> list[Service]:
    """`environment` holds the addresses of the servers."""
    bootstrap = (
        "services.api.bootstrap",
        *("--cards", str(models.folder / "cards")),
        *("--key-file", str(state.api_key_file)),
    )

    def service(name: str, module: str, port: str, own: Mapping[str, str]) -> Service:
        return Service(
            name=name,
            command=_python(module),
            after=("bootstrap", "valkey", *(("triton",) if module == "services.inference" else ())),
            ready=answers_ok(f"http://127.0.0.1:{ports[port]}/readyz"),
            environment={**environment, **drains[module], **own},
            folder=ROOT,
            stopping=Stopping(seconds=_PATIENCE_SECONDS + max(map(float, drains[module].values()), default=0)),
        )

    drains = {module: _drain(module) for module in _DRAINS}
    on = {name: str(port) for name, port in ports.items()}
    of_api = {"API_HOST": "127.0.0.1", "API_PORT": on["api"]}
    of_operations = {"OPERATIONS_METRICS_PORT": on["operations_metrics"]}
    of_runs = {"INFERENCE_METRICS_PORT": on["inference_metrics"]}
    of_previews = {"INFERENCE_METRICS_PORT": on["previews_metrics"], "INFERENCE_PURPOSE": "preview"}
    of_notifier = {"NOTIFIER_HOST": "127.0.0.1", "NOTIFIER_PORT": on["notifier"]}
    return [
        _once("migrate", ("alembic", "upgrade", "head"), "postgres", environment),
        _once("bootstrap", bootstrap, "migrate", environment),
        service("api", "services.api", "api", of_api),
        service("operations", "services.api.worker", "operations_metrics", of_operations),
        service("inference", "services.inference", "inference_metrics", of_runs),
        service("previews", "services.inference", "previews_metrics", of_previews),
        service("notifier", "services.notifier", "notifier", of_notifier),
    ]


def _drain(module: str) -> Mapping[str, str]:
    return {name: _seconds(name, usual) for name, usual in _DRAINS[module].items()}


def _seconds(variable: str, usual: str) -> str:
    text = os.environ.get(variable) or usual
    with suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return text
    raise ServiceUnusable(f"{variable}={text} is no number of seconds")


def _once(name: str, arguments: tuple[str, ...], after: str, environment: Mapping[str, str]) -> Service:
    return Service(name, _python(*arguments), after=(after,), once=True, environment=environment, folder=ROOT)


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)
