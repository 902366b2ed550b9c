"""Whether models on servers of others answer. Asked beside the keeper, so that a silent server holds up nobody."""

import asyncio
import time

from services.inference.failures import ModelUnusable, PartAway
from services.inference.servers import Servers
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

    async def _ask(self, where: ServedAt) -> None:
        try:
            ready = await self._servers.at(where.address).ready(where.model, where.version)
        except (PartAway, ModelUnusable) as error:
            self._known[where] = "unavailable", f"{where.address}: {error}"[:300]
        else:
            self._known[where] = (
                ("ready", None) if ready else ("unavailable", f"{where.address} says that the model is not ready")
            )
