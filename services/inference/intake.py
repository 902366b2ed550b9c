"""From data row ids to batches in memory: contents are fetched side by side and prepared as they come.

A content is held from the moment it is asked for until it is prepared, and what all batches of the process hold at
once stays within a budget of bytes. A row waits for nothing else while it holds some, so that none waits for ever.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

from services.inference.failures import RowFailed, leaves
from services.inference.inputs import BatchPreparation, PreparedBatch
from services.inference.inputs.content import Content, Stored, find_stored
from services.inference.machinery import Machinery
from services.inference.metrics import timed
from services.inference.patience import read_patiently
from services.inference.results import Failed
from services.inference.served_model import ServedModel
from services.inference.shared_memory import SharedMemory


class Intake:
    """Of the rows of one batch."""

    def __init__(self, parts: Machinery, model: ServedModel, size: int, memory: SharedMemory | None = None) -> None:
        self._parts = parts
        self._preparation = BatchPreparation(model, size, memory)
        self._ready: list[Content] = []
        self._turn = asyncio.Lock()
        self._failed: list[Failed] = []

    async def take(self, data_row_ids: Sequence[UUID]) -> tuple[list[PreparedBatch], list[Failed]]:
        """Raises PartAway when the patience for the object store is over."""
        stored = await find_stored(self._parts.sessions, data_row_ids)
        try:
            async with asyncio.TaskGroup() as group:
                for data_row_id in data_row_ids:
                    group.create_task(self._take_row(data_row_id, stored.get(data_row_id)))
        except BaseExceptionGroup as found:
            raise next(leaves(found)) from found
        unprepared = [Failed(content.data_row_id, error) for content, error in self._preparation.failed]
        return self._preparation.batches(), [*self._failed, *unprepared]

    async def _take_row(self, data_row_id: UUID, row: Stored | None) -> None:
        if row is None:
            gone = RowFailed("fetch", "content_not_found", "the data row was deleted")
            self._failed.append(Failed(data_row_id, gone))
            return
        async with self._parts.contents.hold(row.most_bytes):
            try:
                content = await timed("fetch", self._read(row))
            except RowFailed as error:
                self._failed.append(Failed(data_row_id, error, error.attempts))
                return
            self._ready.append(content)
            await self._prepare(content)

    async def _read(self, row: Stored) -> Content:
        return await read_patiently(self._parts.settings.inference_patience_seconds, self._parts.reader, row)

    async def _prepare(self, content: Content) -> None:
        """Whoever has the turn prepares all that are ready: one visit to a thread serves many small rows."""
        async with self._turn:
            if not any(one is content for one in self._ready):
                return
            contents, self._ready = self._ready, []
            await timed("prepare", self._parts.in_thread(partial(self._preparation.add, contents)))
