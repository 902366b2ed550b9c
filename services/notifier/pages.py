"""Pieces of the past, encoded. Those who come back after a restart ask for the same ones, which are read once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from services.notifier.frames import SharedFrame, event_frame
from services.notifier.log import EventLog
from shared.database.event_log import LoggedEvent
from shared.ending import end_tasks

_KEPT_SECONDS = 1.0
_MOST_KEPT = 8

_Place = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, each with its frame; `epoch` as in `PastEvents`."""

    epoch: UUID | None
    events: Sequence[tuple[LoggedEvent, SharedFrame]]


class Pages:
    """Ask only for what is known to be there: an answer may be a second old, and so must not say that there is none."""

    def __init__(self, event_log: EventLog, page_size: int, turns: asyncio.Semaphore) -> None:
        self._log = event_log
        self._page_size = page_size
        self._turns = turns
        self._read: dict[_Place, asyncio.Task[Page]] = {}

    async def after(self, stream_id: UUID, offset: int) -> Page:
        """Raises Unavailable."""
        place = (stream_id, offset)
        task = self._read.get(place)
        if task is None:
            task = self._read[place] = asyncio.create_task(self._page(place))
            task.add_done_callback(partial(self._keep, place))
        return await asyncio.shield(task)

    async def stop(self) -> None:
        await end_tasks(self._read.values())

    async def _page(self, place: _Place) -> Page:
        async with self._turns:
            past = await self._log.events(*place, self._page_size)
        return Page(past.epoch, [(event, event_frame(event, past.epoch)) for event in past.events])

    def _keep(self, place: _Place, task: asyncio.Task[Page]) -> None:
        kept = sum(one.done() for one in self._read.values())
        if task.cancelled() or task.exception() or not task.result().events or kept > _MOST_KEPT:
            self._read.pop(place, None)
        else:
            asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._read.pop, place, None)
