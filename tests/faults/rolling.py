"""Every service replaced while a run, an api load and websocket clients go on, as an orchestrator replaces pods.

A successor is started and awaited, then its predecessor is told to stop. Clients come through balancers that ask for
readiness.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM

from tests.faults.harness.round import Round
from tests.faults.harness.stage import Stage
from tests.faults.harness.world import QUICK, World, WorldOptions
from tests.support.balancer import Balancer

DELAY_SECONDS, DRAIN_SECONDS = 1.5, 5.0
_SLACK_SECONDS = 15.0
"""Beside delay and drain, on a busy machine; the manifests leave more."""
GRACE_SECONDS = DELAY_SECONDS + DRAIN_SECONDS + _SLACK_SECONDS
Replicas = Mapping[str, int]
REPLICAS: Replicas = {"api": 2, "notifier": 2, "operations": 1, "inference": 2, "previews": 1}
_SETTINGS: Mapping[str, str] = {
    "SHUTDOWN_DELAY_SECONDS": str(DELAY_SECONDS),
    "SHUTDOWN_GRACE_SECONDS": str(int(DRAIN_SECONDS)),
    "OPERATIONS_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "OPERATIONS_POLL_SECONDS": "0.3",
    "INFERENCE_DRAIN_SECONDS": str(DRAIN_SECONDS),
    "REALIGN_AT_ONCE": "0",
    "LOG_LEVEL": "WARNING",
}
_ENDED = ("completed", "succeeded", "failed", "cancelled", "completed_with_errors")


class BalancedWorld(World):
    """Its services have several processes each, behind one address."""

    def __init__(self, folder: Path, models: Path, replicas: Replicas, settings: Mapping[str, str]) -> None:
        super().__init__(folder, WorldOptions(models, {**QUICK, **_SETTINGS, **settings}, services=()))
        self._replicas = replicas
        self.balancers = {"api": Balancer(), "notifier": Balancer()}
        self.running: dict[str, list[str]] = {kind: [] for kind in replicas}
        self.ends: dict[str, list[float]] = {kind: [] for kind in replicas}
        """Seconds from SIGTERM to the end of the process."""
        self._numbers = itertools.count()

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.balancers['api'].port}"

    @property
    def notifier_url(self) -> str:
        return f"ws://127.0.0.1:{self.balancers['notifier'].port}/v1/ws"

    async def open(self) -> None:
        for balancer in self.balancers.values():
            await balancer.open()
        await super().open()
        await asyncio.gather(*(self._add(kind) for kind, count in self._replicas.items() for _ in range(count)))

    async def close(self) -> None:
        for balancer in self.balancers.values():
            await balancer.close()
        await super().close()

    async def replace(self, kind: str) -> None:
        """One process after the other."""
        for name in list(self.running[kind]):
            await self._add(kind)
            await self._remove(kind, name)

    async def replace_all(self) -> None:
        """All processes of all services at once."""
        old = [(kind, name) for kind, names in self.running.items() for name in names]
        await asyncio.gather(*(self._add(kind) for kind, _ in old))
        await asyncio.gather(*(self._remove(kind, name) for kind, name in old))

    async def _add(self, kind: str) -> None:
        name = f"{kind}-{next(self._numbers)}"
        self.running[kind].append(name)
        await self.start(name)
        if kind in self.balancers:
            self.balancers[kind].servers[name] = self._port(name)
            await self.balancers[kind].until_ready(name)

    async def _remove(self, kind: str, name: str) -> None:
        began = time.monotonic()
        await self.processes.end(name, SIGTERM)
        self.ends[kind].append(time.monotonic() - began)
        self.running[kind].remove(name)
        if kind in self.balancers:
            del self.balancers[kind].servers[name]


@asynccontextmanager
async def opened_balanced_world(
    folder: Path, models: Path, replicas: Replicas = REPLICAS, **settings: str
) -> AsyncIterator[BalancedWorld]:
    world = BalancedWorld(folder, models, replicas, settings)
    try:
        await world.open()
        yield world
    finally:
        await world.close()


@dataclass
class Load:
    """What people do meanwhile, over and over. `done` counts it."""

    told: Round
    stage: Stage
    finished: str
    """A run that has ended."""
    done: dict[str, int] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        acts = (self._look, self._look, self._import, self._preview, self._realign)
        tasks = [asyncio.create_task(self._again(act, stopping)) for act in acts]
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(*tasks)

    async def _again(self, act: Callable[[int], Awaitable[None]], stopping: asyncio.Event) -> None:
        for number in itertools.count():
            if stopping.is_set():
                return
            await act(number)
            name = act.__name__.strip("_")
            self.done[name] = self.done.get(name, 0) + 1
            await asyncio.sleep(0.02)

    async def _look(self, number: int) -> None:
        del number
        gateway, path = self.stage.frontend.gateway, self.stage.frontend.path
        for one in (path, f"{path}/model-runs", f"{path}/data-rows", "/v1/notifications", "/v1/models"):
            await gateway.get(one)

    async def _import(self, number: int) -> None:
        items = [{"global_key": f"later-{number}", "text": f"later {number}"}]
        await self.stage.frontend.gateway.post(f"{self.stage.frontend.path}/data-rows", {"items": items})

    async def _preview(self, number: int) -> None:
        wanted = {name: self.stage.wanted[name] for name in ("model_id", "threshold", "alignment")}
        body = {**wanted, "sample": {"size": 8, "seed": number}}
        preview = await self.stage.frontend.gateway.post(f"{self.stage.frontend.path}/previews", body)
        await self._until_ended(f"/v1/previews/{preview['id']}", "completed")

    async def _realign(self, number: int) -> None:
        """Which is an operation here, so that its workers have something to do."""
        gateway, path = self.stage.frontend.gateway, f"/v1/model-runs/{self.finished}/alignment"
        operation = await gateway.patch(path, {"threshold": 0.1 + 0.01 * (number % 50)}, await gateway.etag(path))
        await self._until_ended(f"/v1/operations/{operation['id']}", "succeeded")

    async def _until_ended(self, path: str, wanted: str) -> None:
        async with asyncio.timeout(120):
            while (found := await self.stage.frontend.gateway.get(path))["state"] not in _ENDED:
                await asyncio.sleep(0.1)
        if found["state"] != wanted:
            self.bad.append(f"{path} is {found['state']}")


def failed_requests(told: Round) -> Sequence[str]:
    """Those that got no answer, and those that were told to come again."""
    return [
        f"{one['method']} {one['path']}: {one.get('why') or one['status']}"
        for one in told.history.entries
        if one["kind"] == "lost" or (one["kind"] == "http" and (one["status"] == 429 or one["status"] >= 500))
    ]
