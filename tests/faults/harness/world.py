"""A whole Prelabel for many rounds of faults: servers of its own, and the services as processes.

async with opened_world(folder, WorldOptions(models=store)) as world:
    async with world.round("kill a worker") as told:             # a workspace and a history of its own
        stage = await told.stage((f"text {n}" for n in range(200)), slug="sleeps")
        await told.subscribe("a", stage.topic)
        run = await stage.submit()
        told.faults.kill("inference-1")
        await stage.ended(run)
        assert await told.violations() == []
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local.control import StackProcess
from deploy.local.ports import choose_ports
from deploy.local.stack import Addresses, StackOptions
from deploy.local.state import StateFolder
from tests.faults.harness.audit import audit
from tests.faults.harness.processes import Order, Processes
from tests.faults.harness.round import Round, opened_round
from tests.support.servers import migrate

QUICK: Mapping[str, str] = {
    "INFERENCE_LEASE_SECONDS": "2",
    "INFERENCE_HEARTBEAT_SECONDS": "0.5",
    "INFERENCE_POLL_SECONDS": "0.3",
    "NOTIFIER_POLL_SECONDS": "0.3",
}
"""Settings with which tests need not sit through waits."""


@dataclass(frozen=True)
class WorldOptions:
    """`models` is a folder as in `StackOptions`. `settings` go to every service; `services` are started at once."""

    models: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ("api", "notifier", "inference-1")


class World:
    def __init__(self, folder: Path, options: WorldOptions) -> None:
        self.folder, self.options = folder, options
        self.stack = StackProcess(
            StackOptions(state=folder / "servers", models=options.models, free_ports=True, servers_only=True)
        )
        self.processes = Processes(folder / "log")
        self._ports = dict(choose_ports(StateFolder.at(folder), free=True))

    @property
    def addresses(self) -> Addresses:
        return self.stack.addresses

    @property
    def database_url(self) -> str:
        return self.addresses.database_url

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port('api')}"

    @property
    def notifier_url(self) -> str:
        return f"ws://127.0.0.1:{self._port('notifier')}/v1/ws"

    @asynccontextmanager
    async def round(self, name: str) -> AsyncIterator[Round]:
        """Something to check by itself: a new workspace, and a history in `<folder>/<name>.jsonl`."""
        async with opened_round(self, name) as found:
            yield found

    async def start(self, name: str, *, defect: str | None = None, crash: str | None = None, **settings: str) -> None:
        """A service, or another one in its place: `api`, `notifier`, `operations`, `inference-1`, `previews-1`, …

        `defect` and `crash` as in `tests.faults.defective`. The crash is for this start only, the rest for restarts.
        """
        order = self._order(name)
        environment = {**order.environment, **settings}
        await self.processes.start(name, replace(order, environment=environment, defect=defect, crash=crash))

    async def open(self) -> None:
        await asyncio.to_thread(self.stack.start)
        await asyncio.to_thread(migrate, self.database_url)
        await audit(self.database_url)
        await self.processes.open()
        cards = ("--cards", str(self.options.models / "cards"))
        bootstrap = replace(self._order("api"), module="services.api.bootstrap", arguments=cards, ready_url=None)
        await self.processes.run("bootstrap", bootstrap)
        for name in self.options.services:
            await self.start(name)

    async def close(self) -> None:
        await self.processes.close()
        await asyncio.to_thread(self.stack.remove)

    def _order(self, name: str) -> Order:
        kind = name.partition("-")[0]
        module, variable = _SERVICES[kind]
        port = str(self._port(name))
        environment = {
            **self.addresses.environment(),
            "LOG_FORMAT": "console",
            "PUBLIC_NOTIFIER_URL": self.notifier_url,
            "SHUTDOWN_GRACE_SECONDS": "5",
            "INFERENCE_PURPOSE": "preview" if kind == "previews" else "run",
            **self.options.settings,
            variable: port,
        }
        return Order(module, environment, ready_url=f"http://127.0.0.1:{port}/readyz")

    def _port(self, name: str) -> int:
        if name not in self._ports:
            self._ports[name] = choose_ports(StateFolder.at(self.folder / "ports" / name), free=True)["api"]
        return self._ports[name]


_SERVICES: Mapping[str, tuple[str, str]] = {
    "api": ("services.api", "API_PORT"),
    "notifier": ("services.notifier", "NOTIFIER_PORT"),
    "operations": ("services.api.worker", "OPERATIONS_METRICS_PORT"),
    "inference": ("services.inference", "INFERENCE_METRICS_PORT"),
    "previews": ("services.inference", "INFERENCE_METRICS_PORT"),
}
"""Module, and the variable of the port on which it says that it is ready."""


@asynccontextmanager
async def opened_world(folder: Path, options: WorldOptions) -> AsyncIterator[World]:
    """`folder` lies below `var/`, as `StackProcess` wants it; what servers keep there is removed at the end."""
    world = World(folder, options)
    try:
        await world.open()
        yield world
    finally:
        await world.close()
