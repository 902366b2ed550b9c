"""A whole Prelabel for many rounds of faults: real servers, the services as processes, and what clients were told.

    async with opened_world(folder, models=store) as world:          # its own servers: they may be killed too
        stage = await world.stage([f"text {n}" for n in range(200)], slug="sleeps")
        watcher = await world.subscribe("a", stage.topic)
        run = await stage.submit()
        world.faults.kill("inference")
        await stage.ended(run)
        assert await world.violations() == []
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from deploy.local.control import StackProcess
from deploy.local.ports import choose_ports
from deploy.local.stack import Addresses, StackOptions
from deploy.local.state import StateFolder
from tests.faults.harness.audit import audit
from tests.faults.harness.checker import Violation, check
from tests.faults.harness.client import InsistentGateway
from tests.faults.harness.database import read_database
from tests.faults.harness.faults import Faults
from tests.faults.harness.history import History
from tests.faults.harness.processes import Order, Processes
from tests.faults.harness.subscriber import Subscriber
from tests.support.servers import migrate

if TYPE_CHECKING:
    from tests.faults.harness.stage import Stage

QUICK: Mapping[str, str] = {
    "INFERENCE_LEASE_SECONDS": "2",
    "INFERENCE_HEARTBEAT_SECONDS": "0.5",
    "INFERENCE_POLL_SECONDS": "0.3",
    "NOTIFIER_POLL_SECONDS": "0.3",
}
"""Waits that tests need not sit through."""


@dataclass(frozen=True)
class WorldOptions:
    """`models` is a folder as `StackOptions.models`. `settings` go to every service."""

    models: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1


class World:
    def __init__(self, folder: Path, addresses: Addresses, options: WorldOptions) -> None:
        self.folder, self.addresses, self.options = folder, addresses, options
        self.stack: StackProcess | None = None
        self.history = History(folder / "history.jsonl")
        self.processes = Processes(folder / "log")
        self.ports = dict(choose_ports(StateFolder.at(folder), free=True))
        self.api_url = f"http://127.0.0.1:{self.ports['api']}"
        self.notifier_url = f"ws://127.0.0.1:{self.ports['notifier']}/v1/ws"
        self.subscribers: list[Subscriber] = []
        self.faults = Faults(self)
        self.gateway: InsistentGateway

    @property
    def database_url(self) -> str:
        return self.addresses.database_url

    async def stage(self, texts: Iterable[str], slug: str) -> "Stage":
        """A project with these texts, for runs of the model of that name."""
        from tests.faults.harness.stage import make_stage  # noqa: PLC0415

        return await make_stage(self, texts, slug)

    async def subscribe(self, name: str, topic: str) -> Subscriber:
        found = Subscriber(name, topic, self.gateway, self.notifier_url, self.history)
        self.subscribers.append(found)
        await found.until_opened()
        return found

    async def start(
        self, name: str, *, defect: str | None = None, crash: str | None = None, **settings: str
    ) -> None:
        """A service, or another one in its place: `api`, `notifier`, `operations`, `inference-1`, `previews-1`, …"""
        order = self._order(name)
        environment = {**order.environment, **settings}
        await self.processes.start(name, replace(order, environment=environment, defect=defect, crash=crash))

    async def violations(self) -> list[Violation]:
        """Of all that happened in this world, once it is quiet."""
        return check(self.history, await read_database(self.database_url))

    async def settle(self) -> None:
        """Until every subscriber of a stream knows all that is in its log."""
        database = await read_database(self.database_url)
        for subscriber in self.subscribers:
            kind, _, subject = subscriber.topic.partition(":")
            if kind == "project":
                await subscriber.until_at(database.streams[subject].last_offset)

    def _order(self, name: str) -> Order:
        kind = name.partition("-")[0]
        module, port = _MODULES[kind]
        own = {
            variable: str(self._port(name if variable.endswith("METRICS_PORT") else kind))
            for variable in (port,)
        }
        environment = {
            **self.addresses.environment(),
            "LOG_FORMAT": "console",
            "PUBLIC_NOTIFIER_URL": self.notifier_url,
            "SHUTDOWN_GRACE_SECONDS": "5",
            **({"INFERENCE_PURPOSE": "preview"} if kind == "previews" else {}),
            **self.options.settings,
            **own,
        }
        return Order(module, environment, ready_url=f"http://127.0.0.1:{own[port]}/readyz")

    def _port(self, name: str) -> int:
        if name not in self.ports:
            self.ports[name] = choose_ports(StateFolder.at(self.folder / "ports" / name), free=True)["api"]
        return self.ports[name]

    async def open(self) -> None:
        await asyncio.to_thread(migrate, self.database_url)
        await audit(self.database_url)
        await self.processes.open()
        key_file = self.folder / "key"
        words = ("--cards", str(self.options.models / "cards"), "--local-key-file", str(key_file))
        await self.processes.run(
            "bootstrap", replace(self._order("api"), module="services.api.bootstrap", arguments=words, ready_url=None)
        )
        for name in ("api", "notifier", *(f"inference-{number + 1}" for number in range(self.options.workers))):
            await self.start(name)
        self.gateway = InsistentGateway(self.api_url, key_file.read_text().strip(), self.history)

    async def close(self) -> None:
        for subscriber in self.subscribers:
            await subscriber.close()
        if hasattr(self, "gateway"):
            await self.gateway.close()
        await self.processes.close()
        self.history.close()


_MODULES: Mapping[str, tuple[str, str]] = {
    "api": ("services.api", "API_PORT"),
    "notifier": ("services.notifier", "NOTIFIER_PORT"),
    "operations": ("services.api.worker", "OPERATIONS_METRICS_PORT"),
    "inference": ("services.inference", "INFERENCE_METRICS_PORT"),
    "previews": ("services.inference", "INFERENCE_METRICS_PORT"),
}


@asynccontextmanager
async def opened_world(folder: Path, options: WorldOptions, servers: Addresses | None = None) -> AsyncIterator[World]:
    """On servers that are there already, with a database of its own; without, on servers of its own."""
    if servers is not None:
        own = f"{servers.database_url.rpartition('/')[0]}/faults_{uuid4().hex}"
        addresses = servers.model_copy(
            update={"database_url": own, "object_store_url": f"file://{folder / 'objects'}"}
        )
        async with _open(World(folder, addresses, options)) as world:
            yield world
        return
    state = StackOptions(state=folder / "servers", models=options.models, free_ports=True, servers_only=True)
    stack = StackProcess(state)
    try:
        stack.start()
        world = World(folder, stack.addresses, options)
        world.stack = stack
        async with _open(world):
            yield world
    finally:
        stack.remove()


@asynccontextmanager
async def _open(world: World) -> AsyncIterator[World]:
    try:
        await world.open()
        yield world
    finally:
        await world.close()
