"""Prelabel's own processes: migrations and first key, then the services."""

import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.http import answers_ok
from deploy.local.service import Service, Stopping
from deploy.local.state import StateFolder
from deploy.local.triton import ModelStore

ROOT = Path(__file__).resolve().parents[2]


def application(
    state: StateFolder, ports: Mapping[str, int], models: ModelStore, environment: Mapping[str, str]
) -> list[Service]:
    """`environment` holds the addresses of the servers."""
    bootstrap = (
        "services.api.bootstrap",
        *("--cards", str(models.folder / "cards")),
        *("--local-key-file", str(state.api_key_file)),
    )

    def service(name: str, module: str, port: str, own: Mapping[str, str]) -> Service:
        return Service(
            name=name,
            command=_python(module),
            after=("bootstrap", "valkey", *(("triton",) if module == "services.inference" else ())),
            ready=answers_ok(f"http://127.0.0.1:{ports[port]}/readyz"),
            environment={**environment, **own},
            folder=ROOT,
            stopping=Stopping(seconds=20),
        )

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


def _once(name: str, arguments: tuple[str, ...], after: str, environment: Mapping[str, str]) -> Service:
    return Service(name, _python(*arguments), after=(after,), once=True, environment=environment, folder=ROOT)


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)
