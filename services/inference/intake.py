"""From data row ids to batches in memory: contents are fetched side by side and prepared as they come.

A content is held from the moment it is asked for until it is prepared, and what all batches of the process hold at
once stays within a budget of bytes. A row waits for nothing else while it holds some, so that none waits for ever.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from services.inference.failures import RowFailed, leaves
from services.inference.inputs import BatchPreparation, PreparedBatch, Taken
from services.inference.inputs.content import Content, Stored, content_of, find_long_text, find_stored
from services.inference.machinery import Machinery
from services.inference.metrics import timed
from services.inference.patience import read_patiently
from services.inference.results import Failed
from services.inference.served_model import ServedModel
from services.inference.shared_memory import SharedMemory

_AHEAD = 256
_FEW_BYTES = 2048

Portion = Sequence[tuple[UUID, Stored | None]]
"""Rows that are taken together, each with where its content is; None when it was deleted."""


class Intake:
    """Of the rows of one segment. Where a model takes rows of many shapes, they wait for others of theirs."""

    def __init__(self, parts: Machinery, model: ServedModel, memory: SharedMemory | None = None) -> None:
        self._parts = parts
        self._model = model
        self._memory = memory
        self._size = model.card.max_batch_size
        self._mixes = any(-1 in tensor.shape for tensor in model.card.inputs)
        self._mixed = self._new_preparation()

    @property
    def most_waiting(self) -> int:
        """Rows that wait for others at most."""
        return self._mixed.value.most_waiting if self._mixes else 0

    async def portions(self, data_row_ids: Sequence[UUID]) -> AsyncGenerator[Portion, None]:
        """A full batch of rows each. Where the contents of the next are is asked while these are worked on."""
        count = max(_AHEAD // self._size, 1) * self._size
        pieces = [data_row_ids[start : start + count] for start in range(0, len(data_row_ids), count)]
        asked = asyncio.create_task(self.find(pieces[0] if pieces else ()))
        try:
            for following in [*pieces[1:], ()]:
                rows, asked = await asked, asyncio.create_task(self.find(following))
                for start in range(0, len(rows), self._size):
                    yield rows[start : start + self._size]
        finally:
            asked.cancel()
            await asyncio.wait({asked})

    async def take(self, rows: Portion) -> tuple[list[PreparedBatch], list[Failed]]:
        """What is ready now, which may be rows of earlier portions. Raises PartAway when the patience for the object
        store is over."""
        taking = _Taking(self._parts, self._mixed if self._mixes else self._new_preparation())
        began = time.perf_counter()
        await taking.take(rows)
        now = time.perf_counter()
        taken = Taken(now, now - began - taking.preparing, taking.preparing)
        batches, failed = await taking.preparation.leave(some_wait=self._mixes)
        return [replace(batch, taken=taken) for batch in batches], [*taking.failed, *failed]

    def rest(self) -> list[PreparedBatch]:
        """When all portions were taken: what still waited for others."""
        return self._mixed.value.batches()

    async def find(self, data_row_ids: Sequence[UUID]) -> Portion:
        stored = await find_stored(self._parts.sessions, data_row_ids) if data_row_ids else {}
        return [(data_row_id, stored.get(data_row_id)) for data_row_id in data_row_ids]

    def _new_preparation(self) -> "_Preparing":
        return _Preparing(BatchPreparation(self._model, self._size, self._memory))


@dataclass(slots=True)
class _Preparing:
    """Whoever has the turn is alone in it, in a thread or not: several portions may share it."""

    value: BatchPreparation
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def leave(self, *, some_wait: bool) -> tuple[list[PreparedBatch], list[Failed]]:
        """What is ready, or everything, and what failed."""
        async with self.turn:
            batches = self.value.ready() if some_wait else self.value.batches()
            failed, self.value.failed = self.value.failed, []
        return batches, [Failed(content.data_row_id, error) for content, error in failed]


class _Taking:
    """Of one portion."""

    def __init__(self, parts: Machinery, preparation: _Preparing) -> None:
        self._parts = parts
        self.preparation = preparation
        self._ready: list[Content] = []
        self.failed: list[Failed] = []
        self.preparing = 0.0

    async def take(self, rows: Portion) -> None:
        short, others = [], []
        for data_row_id, row in rows:
            if row is None:
                gone = RowFailed("fetch", "content_not_found", "the data row was deleted")
                self.failed.append(Failed(data_row_id, gone))
            elif row.text is not None:
                short.append(row)
            else:
                others.append(row)
        if short:
            await self._take_short(short)
        if not others:
            return
        try:
            async with asyncio.TaskGroup() as group:
                for row in others:
                    group.create_task(self._take_row(row))
        except BaseExceptionGroup as found:
            raise next(leaves(found)) from found

    async def _take_short(self, rows: Sequence[Stored]) -> None:
        """Texts that are here already: all at once."""
        async with self._parts.contents.hold(sum(row.most_bytes for row in rows)):
            for row in rows:
                try:
                    self._ready.append(content_of(row, (row.text or "").encode()))
                except RowFailed as error:
                    self.failed.append(Failed(row.data_row_id, error))
            await self._prepare()

    async def _take_row(self, row: Stored) -> None:
        async with self._parts.contents.hold(row.most_bytes):
            try:
                content = await timed("fetch", self._read(row))
            except RowFailed as error:
                self.failed.append(Failed(row.data_row_id, error, error.attempts))
                return
            self._ready.append(content)
            await self._prepare(content)

    async def _read(self, row: Stored) -> Content:
        if row.is_long_text:
            row = await find_long_text(self._parts.sessions, row)
        return await read_patiently(self._parts.settings.inference_patience_seconds, self._parts.reader, row)

    async def _prepare(self, content: Content | None = None) -> None:
        """Whoever has the turn prepares all that are ready: one visit to a thread serves many small rows."""
        async with self.preparation.turn:
            if content is not None and not any(one is content for one in self._ready):
                return
            contents, self._ready = self._ready, []
            began = time.perf_counter()
            await timed("prepare", self._add(contents))
            self.preparing += time.perf_counter() - began

    async def _add(self, contents: Sequence[Content]) -> None:
        """In a thread, unless that would cost more than the work."""
        if sum(len(content.body) for content in contents) <= _FEW_BYTES:
            self.preparation.value.add(contents)
        else:
            await self._parts.in_thread(partial(self.preparation.value.add, contents))
