"""Follows the log for all streams somebody listens to: one reader a stream, woken by hints, or by a poll without."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol
from uuid import UUID

from services.notifier import metrics
from services.notifier.hub import Hub
from services.notifier.log import EventLog, PastEvents
from services.notifier.stream import HistoryLost, Stream
from shared.contracts.progress import Progress
from shared.database.event_log import Head
from shared.ending import end_tasks
from shared.errors import Unavailable
from shared.hints import Hint
from shared.telemetry import logger

_READERS = 3
_MESSAGES_A_TURN = 3_000

log = logger(__name__)


class HintSource(Protocol):
    def listen(self) -> AsyncIterator[Hint]: ...


class Tail:
    """`on_history_lost` is told which stream cannot go on, and its head or None when it has gone."""

    def __init__(self, event_log: EventLog, hub: Hub, page_size: int) -> None:
        self.on_history_lost: Callable[[Stream, Head | None], None] | None = None
        self._log = event_log
        self._hub = hub
        self._page_size = page_size
        self._turns = asyncio.Semaphore(_READERS)
        self._woken: set[Stream] = set()
        self._reading: dict[Stream, asyncio.Task[None]] = {}

    async def listen(self, hints: HintSource) -> None:
        async for hint in hints.listen():
            if isinstance(hint, Progress):
                self._hub.progress(hint)
            else:
                self._hinted(hint)

    async def poll(self, seconds: float) -> None:
        """Look at all followed streams with one query; catches what a lost hint missed."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.look()
            except Unavailable as error:
                # The clients stay; the next look finds what they missed.
                metrics.TAIL_FAILURES.inc()
                log.warning("log_away", detail=error.detail)

    async def look(self) -> None:
        """Raises Unavailable."""
        cursors = [(stream, stream.cursor) for stream in self._hub.streams() if stream.cursor is not None]
        if not cursors:
            metrics.TAIL_LAG.set(0)
            return
        heads = await self._log.heads([stream.id for stream, _ in cursors])
        metrics.TAIL_LAG.set(sum(self._compare(stream, heads.get(stream.id), cursor) for stream, cursor in cursors))

    def wake(self, stream: Stream) -> None:
        """Read on, now or as soon as the reader at work has finished its page."""
        self._woken.add(stream)
        if stream not in self._reading:
            self._reading[stream] = asyncio.create_task(self._read(stream))

    async def stop(self) -> None:
        await end_tasks(self._reading.values())

    def _hinted(self, stream_id: UUID) -> None:
        stream = self._hub.stream(stream_id)
        if stream is None:
            return
        if stream.cursor is None:
            stream.is_hinted = True
        else:
            self.wake(stream)

    def _compare(self, stream: Stream, head: Head | None, cursor_before: int) -> int:
        try:
            ahead = stream.lag(head, cursor_before)
        except HistoryLost:
            self._lose(stream, head)
            return 0
        if ahead:
            self.wake(stream)
        return ahead

    async def _read(self, stream: Stream) -> None:
        try:
            while stream in self._woken:
                self._woken.discard(stream)
                await self._read_to_end(stream)
        except Unavailable as error:
            metrics.TAIL_FAILURES.inc()
            log.warning("log_away", detail=error.detail)
        except Exception:  # the next poll wakes this stream again
            log.exception("tail_failed", stream_id=str(stream.id))
        finally:
            self._woken.discard(stream)
            del self._reading[stream]

    async def _read_to_end(self, stream: Stream) -> None:
        full = True
        while full and stream.is_followed and stream.cursor is not None:
            history = stream.history
            async with self._turns:
                page = await self._log.events(stream.id, stream.cursor, self._page_size)
            if history != stream.history:
                return  # these are offsets of what was lost
            try:
                await self._deliver(stream, page)
            except HistoryLost:
                self._lose(stream, (await self._log.heads([stream.id])).get(stream.id))
                return
            full = len(page.events) == self._page_size

    async def _deliver(self, stream: Stream, page: PastEvents) -> None:
        history = stream.history
        if page.events and page.epoch != stream.epoch:
            raise HistoryLost
        given = 0
        for event in page.events:
            if history != stream.history:
                return
            given += 1 + stream.deliver(event)
            # What one client gets in a turn is one write. A turn ends after some milliseconds, for the others' sake.
            if given > _MESSAGES_A_TURN:
                given = 0
                await asyncio.sleep(0)

    def _lose(self, stream: Stream, head: Head | None) -> None:
        if self.on_history_lost is not None:
            self.on_history_lost(stream, head)
