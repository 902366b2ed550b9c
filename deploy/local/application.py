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

    def python(*arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", *arguments)

    cards, key = str(models.folder / "cards"), str(state.api_key_file)

    def service(name: str, port: int, own: Mapping[str, str], module: str | None = None) -> Service:
        module = module or f"services.{name}"
        return Service(
            name=name,
            command=python(module),
            after=("bootstrap", "valkey", *(("triton",) if module == "services.inference" else ())),
            ready=answers_ok(f"http://127.0.0.1:{port}/readyz"),
            environment={**environment, **own},
            folder=ROOT,
            stopping=Stopping(seconds=20),
        )

    return [
        Service(
            "migrate",
            python("alembic", "upgrade", "head"),
            after=("postgres",),
            once=True,
            environment=environment,
            folder=ROOT,
        ),
        Service(
            "bootstrap",
            python("services.api.bootstrap", "--cards", cards, "--local-key-file", key),
            after=("migrate",),
            once=True,
            environment=environment,
            folder=ROOT,
        ),
        service("api", ports["api"], {"API_HOST": "127.0.0.1", "API_PORT": str(ports["api"])}),
        service(
            "operations",
            ports["operations_metrics"],
            {"OPERATIONS_METRICS_PORT": str(ports["operations_metrics"])},
            module="services.api.worker",
        ),
        service("inference", ports["inference_metrics"], {"INFERENCE_METRICS_PORT": str(ports["inference_metrics"])}),
        service(
            "previews",
            ports["previews_metrics"],
            {"INFERENCE_METRICS_PORT": str(ports["previews_metrics"]), "INFERENCE_PURPOSE": "preview"},
            module="services.inference",
        ),
        service("notifier", ports["notifier"], {"NOTIFIER_HOST": "127.0.0.1", "NOTIFIER_PORT": str(ports["notifier"])}),
    ]
