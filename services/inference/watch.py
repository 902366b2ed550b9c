"""Whether what others run answers: servers with models, the object store. Asked beside the keeper, which waits for
nobody."""

import asyncio
import time

from services.inference.failures import ModelUnusable, PartAway
from services.inference.servers import Servers
from shared.ending import end_tasks
from shared.object_store import ObjectStore
from shared.served_at import ServedAt

_INTERVAL_SECONDS = 3.0

State = tuple[str, str | None]


class ForeignWatch:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._known: dict[ServedAt, State] = {}
        self._asked_at: dict[ServedAt, float] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def state(self, where: ServedAt) -> State | None:
        """As it was when last asked, with the reason; None before the first answer."""
        if time.monotonic() - self._asked_at.get(where, float("-inf")) > _INTERVAL_SECONDS:
            self._asked_at[where] = time.monotonic()
            task = asyncio.create_task(self._ask(where))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return self._known.get(where)

    async def rest(self) -> None:
        """Ask no more."""
        await end_tasks(self._asking)

    async def _ask(self, where: ServedAt) -> None:
        try:
            ready = await self._servers.at(where).ready(where)
        except (PartAway, ModelUnusable) as error:
            self._known[where] = "unavailable", f"{where.address}: {error}"[:300]
        else:
            self._known[where] = (
                ("ready", None) if ready else ("unavailable", f"{where.address} says that the model is not ready")
            )


class StoreWatch:
    """Whether the object store answers again. Asked beside the keeper too, and only while runs wait for it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._asking: asyncio.Task[bool] | None = None

    def answers(self) -> bool:
        """True once, after it has answered since the waiting began."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._store.answers())
        if not self._asking.done():
            return False
        answered = self._asking.result()
        self._asking = None
        return answered

    def rest(self) -> None:
        """Nobody waits: what is known is of no use any more."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
