"""Which services make up the local stack, and under which addresses they find one another.

`DATABASE_URL`, `REDIS_URL` and `TRITON_URL` in the environment replace the server of that kind.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.local.application import application
from deploy.local.given import given_servers
from deploy.local.ports import choose_ports
from deploy.local.postgres import database_url, postgres
from deploy.local.service import Service
from deploy.local.state import StateFolder
from deploy.local.triton import ModelStore, triton
from deploy.local.valkey import redis_url, valkey

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StackOptions:
    """`free_ports`: none of the usual ports, so that many stacks can run. `servers_only`: without Prelabel itself."""

    state: Path = ROOT / "var"
    models: Path = ROOT / "var" / "models"
    triton_python: Path = ROOT / ".venv-triton" / "bin" / "python"
    free_ports: bool = False
    servers_only: bool = False


class Addresses(BaseModel):
    """Where everything of one stack is. Holds passwords."""

    model_config = ConfigDict(frozen=True)

    database_url: str
    redis_url: str
    triton_url: str
    triton_http_url: str | None
    object_store_url: str
    secret_key: str
    api_url: str
    notifier_url: str
    inference_metrics_url: str
    triton_metrics_url: str | None = None

    def environment(self) -> dict[str, str]:
        """What a process needs to be part of the stack."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "TRITON_URL": self.triton_url,
            "OBJECT_STORE_URL": self.object_store_url,
            "SECRET_KEY": self.secret_key,
        }


@dataclass(frozen=True)
class Stack:
    addresses: Addresses
    services: Sequence[Service]
    ports: Mapping[str, int]


def plan_stack(state: StateFolder, options: StackOptions) -> Stack:
    """Settle ports and passwords (they are remembered in the state folder) and say what is to be started."""
    given = given_servers()
    ports = choose_ports(state, free=options.free_ports)
    addresses = _addresses(state, ports, given)
    models = ModelStore(options.models.resolve())
    services: list[Service] = []
    if "DATABASE_URL" not in given:
        services.append(postgres(state, ports["postgres"]))
    if "REDIS_URL" not in given:
        services.append(valkey(state, ports["valkey"]))
    if "TRITON_URL" not in given:
        services.append(triton(state, ports, models, options.triton_python.absolute()))
    if not options.servers_only:
        logging = {"LOG_FORMAT": os.environ.get("LOG_FORMAT", "console")}
        services += application(state, ports, models, {**addresses.environment(), **logging})
    state.write(state.root / "addresses.json", addresses.model_dump_json(indent=2))
    return Stack(addresses, _only_present(services), ports)


def known_addresses(state: StateFolder) -> Addresses:
    """Those of the last start; true while that stack runs."""
    return Addresses.model_validate_json((state.root / "addresses.json").read_bytes())


def _addresses(state: StateFolder, ports: Mapping[str, int], given: Mapping[str, str]) -> Addresses:
    def local(name: str) -> str:
        return f"http://127.0.0.1:{ports[name]}"

    return Addresses(
        database_url=given.get("DATABASE_URL") or database_url(state, ports["postgres"]),
        redis_url=given.get("REDIS_URL") or redis_url(state, ports["valkey"]),
        triton_url=given.get("TRITON_URL") or f"127.0.0.1:{ports['triton_grpc']}",
        triton_http_url=None if "TRITON_URL" in given else local("triton_http"),
        object_store_url=f"file://{state.folder('objects', 0o700)}",
        secret_key=state.secret("secret-key"),
        api_url=local("api"),
        notifier_url=local("notifier"),
        inference_metrics_url=local("inference_metrics"),
        triton_metrics_url=None if "TRITON_URL" in given else f"{local('triton_metrics')}/metrics",
    )


def _only_present(services: Sequence[Service]) -> list[Service]:
    """Nobody waits for a server that is somebody else's."""
    names = {service.name for service in services}
    return [replace(service, after=tuple(name for name in service.after if name in names)) for service in services]
