"""Hundreds of websocket clients of one project, something that happens in it all the time, and what they have seen.

Every client writes down all it is told, and comes back from its offset when it is cut off; the checker of the harness
judges each of them.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic

from deploy.local.demo.client import Json, Refused
from tests.faults.harness.round import Round
from tests.faults.harness.stage import Stage
from tests.faults.harness.subscriber import Subscriber

_AT_ONCE = 20
_PAUSE_SECONDS = 1.0
"""The longest a client waits before it comes back: with less, hundreds would keep the machine from anything else."""
_RENAMES_A_SECOND = 4


@dataclass
class Crowd:
    """All are subscribers of `told`. `waits` are the seconds until all had heard of something, where it was asked."""

    told: Round
    stage: Stage
    clients: list[Subscriber] = field(default_factory=list)
    renames: int = 0
    waits: list[float] = field(default_factory=list)

    async def join(self, count: int, topic: str) -> None:
        """All of them connected and subscribed."""
        names = [f"{topic.partition(':')[0]}-{len(self.clients) + number}" for number in range(count)]
        while names:
            some, names = names[:_AT_ONCE], names[_AT_ONCE:]
            joined = (self.told.subscribe(name, topic, pause_seconds=_PAUSE_SECONDS) for name in some)
            self.clients += await asyncio.gather(*joined)

    async def head(self) -> int:
        """The last offset of the project."""
        answer = await self.stage.frontend.gateway.get(f"{self.stage.frontend.path}/events", limit=1)
        return int(answer["head"])

    async def rename(self) -> None:
        """An event; one that was not told whether it was done is not done again."""
        path = self.stage.frontend.path
        gateway = self.stage.frontend.gateway
        try:
            await gateway.patch(path, {"name": f"name {self.renames}"}, await gateway.etag(path))
        except Refused:  # its answer was lost, and the repeat came too late for its version
            return
        self.renames += 1

    async def until_all_have_heard(self) -> None:
        """Of all that has happened in the project; only those who follow all of it are waited for."""
        head, since = await self.head(), monotonic()
        await asyncio.gather(*(one.until_at(head) for one in self.clients if one.topic == self.stage.topic))
        self.waits.append(monotonic() - since)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Something happens in the project all the time."""
        stopping = asyncio.Event()

        async def go_on() -> None:
            while not stopping.is_set():
                await self.rename()
                await asyncio.sleep(1 / _RENAMES_A_SECOND)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            stopping.set()
            await task

    def connections(self) -> list[int]:
        """How many each client has had."""
        had = Counter({one.name: 0 for one in self.clients})
        for frame in self.told.history.frames():
            had[frame["subscriber"]] = max(had[frame["subscriber"]], frame["connection"])
        return [had[one.name] for one in self.clients]

    def progress(self, run: str) -> defaultdict[str, list[Json]]:
        """What each client was told of the run, by its name."""
        told: defaultdict[str, list[Json]] = defaultdict(list)
        for frame in self.told.history.frames():
            if frame["message"].get("model_run_id") == run:
                told[frame["subscriber"]].append(frame["message"])
        return told

    def ends(self, run: str) -> dict[str, Json]:
        """What each client was told with the run's completion, by its name."""
        told = {}
        for frame in self.told.history.frames():
            event = frame["message"].get("event", {})
            if event.get("type") == "model_run.completed" and event["subject"]["id"] == run:
                told[frame["subscriber"]] = event["data"]
        return told

    def summary(self, what: str) -> str:
        kinds = Counter(frame["message"]["type"] for frame in self.told.history.frames())
        anew = sum(
            bool(frame["after"]) and frame["message"].get("recovered") is False for frame in self.told.history.frames()
        )
        faults = sum(entry["kind"] == "fault" for entry in self.told.history.entries)
        waits = f", longest wait {max(self.waits):.2f} s" if self.waits else ""
        return (
            f"\n{what}: {len(self.clients)} clients, {faults} faults, {sum(self.connections())} connections, "
            f"{kinds['event']} events and {kinds['progress']} progress messages told, {anew} told to refetch{waits}"
        )


@asynccontextmanager
async def crowded(told: Round, stage: Stage, clients: int) -> AsyncIterator[Crowd]:
    """Most follow the project, some the notifications; something happens all the time."""
    crowd = Crowd(told, stage)
    notified = clients // 10
    await crowd.join(clients - 2 * notified, stage.topic)
    await crowd.join(notified, "notifications")
    async with crowd.busy():
        yield crowd
