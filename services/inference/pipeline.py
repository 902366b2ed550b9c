"""The way of a segment's rows: fetch, prepare, infer, decode, store. Several batches are under way at once.

A batch's place in flight is free again only after its commit, so memory is bounded by batches, not by the segment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from uuid import UUID

from services.inference import results, segments
from services.inference.decoders import decode_batch
from services.inference.failures import PartAway, RowFailed
from services.inference.inputs import Prepared, PreparedBatch, prepare_batch
from services.inference.inputs.content import Content, ContentReader, Stored, find_stored
from services.inference.metrics import BATCH_ROWS, RETRIES, ROWS, STAGE_SECONDS
from services.inference.results import Failed, Succeeded
from services.inference.segments import Claim, LeaseLost
from services.inference.served_model import ServedModel
from services.inference.settings import InferenceSettings
from services.inference.triton import Array, BadModelOutput, ModelBroken, ModelRejected, Triton
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.object_store import ObjectStore
from shared.telemetry import logger

_LEASES_A_ROW_MAY_COST = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 1.0

_NOT_OF_A_ROW: tuple[type[Exception], ...] = (LeaseLost, PartAway, *DATABASE_ERRORS)

log = logger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Machinery:
    """What every batch of this worker uses."""

    settings: InferenceSettings
    sessions: Sessions
    store: ObjectStore
    reader: ContentReader
    triton: Triton
    threads: ThreadPoolExecutor


class Pipeline:
    """Works through one leased segment. Raises LeaseLost, or PartAway when the patience for a part is over."""

    def __init__(self, machinery: Machinery, claim: Claim, model: ServedModel) -> None:
        self._parts = machinery
        self._claim = claim
        self._model = model
        self._card = model.card
        self._stopping = False

    def stop(self) -> None:
        """Begin no further batch; those under way end."""
        self._stopping = True

    async def run(self) -> bool:
        """True when every row has its outcome, False when it was stopped before."""
        pending = list(self._claim.pending)
        alone = self._rows_to_run_alone(pending)
        for data_row_id in alone:
            if self._stopping:
                return False
            await self._run_alone(data_row_id)
        try:
            await self._run_in_batches(pending[len(alone) :])
        except BaseExceptionGroup as group:
            raise _reason(group) from group
        return not self._stopping

    async def _run_in_batches(self, rows: Sequence[UUID]) -> None:
        size = self._card.max_batch_size
        places = asyncio.Semaphore(self._parts.settings.inference_batches_in_flight)
        async with asyncio.TaskGroup() as group:
            for start in range(0, len(rows), size):
                await places.acquire()
                if self._stopping:
                    return
                batch = group.create_task(self._batch(rows[start : start + size]))
                batch.add_done_callback(lambda _: places.release())

    def _rows_to_run_alone(self, pending: list[UUID]) -> list[UUID]:
        """After a takeover, the rows that may have been in flight: one of them may have killed the worker."""
        if not self._claim.taken_over:
            return []
        if self._claim.suspect in pending:
            pending.remove(self._claim.suspect)
            pending.insert(0, self._claim.suspect)
        return pending[: self._parts.settings.inference_batches_in_flight * self._card.max_batch_size]

    async def _run_alone(self, data_row_id: UUID) -> None:
        known = self._claim.suspect == data_row_id
        # The lease in which it was first in flight, in a batch, counts too.
        if known and self._claim.suspect_leases + 1 >= _LEASES_A_ROW_MAY_COST:
            error = RowFailed("inference", "worker_crashed", "every worker that took this row died")
            await self._store([], [Failed(data_row_id, error, attempts=_LEASES_A_ROW_MAY_COST)])
            return
        async with self._parts.sessions.begin() as session:
            await segments.suspect(session, self._claim, data_row_id)
        await self._batch([data_row_id])

    async def _batch(self, data_row_ids: Sequence[UUID]) -> None:
        try:
            await self._work_through(data_row_ids)
        except _NOT_OF_A_ROW:
            raise
        except Exception as error:  # a fault of ours: it may cost the row it belongs to, but never go round for ever
            log.error("batch_failed", rows=len(data_row_ids), exc_info=error)
            if len(data_row_ids) > 1:
                for data_row_id in data_row_ids:
                    await self._batch([data_row_id])
                return
            failed = RowFailed("inference", "internal_error", f"an error of ours: {type(error).__name__}")
            await self._store([], [Failed(data_row_ids[0], failed)])

    async def _work_through(self, data_row_ids: Sequence[UUID]) -> None:
        contents, unread = await _timed("fetch", self._fetch(data_row_ids))
        prepared = await _timed("prepare", self._in_thread(partial(prepare_batch, self._model, contents)))
        failed = [*unread, *(Failed(content.data_row_id, error) for content, error in prepared.failed)]
        succeeded: list[Succeeded] = []
        for batch in prepared.batches:
            good, refused = await self._infer(batch)
            succeeded += good
            failed += refused
        await _timed("store", self._store(succeeded, failed))

    async def _fetch(self, data_row_ids: Sequence[UUID]) -> tuple[list[Content], list[Failed]]:
        stored = await find_stored(self._parts.sessions, data_row_ids)
        read = await asyncio.gather(*(self._read(stored.get(row), row) for row in data_row_ids))
        contents = [one for one in read if isinstance(one, Content)]
        return contents, [one for one in read if isinstance(one, Failed)]

    async def _read(self, row: Stored | None, data_row_id: UUID) -> Content | Failed:
        if row is None:
            return Failed(data_row_id, RowFailed("fetch", "content_not_found", "the data row was deleted"))
        try:
            return await self._patiently(lambda: self._parts.reader.read(row))
        except RowFailed as error:
            return Failed(data_row_id, error, error.attempts)

    async def _infer(self, batch: PreparedBatch) -> tuple[list[Succeeded], list[Failed]]:
        """A batch that is refused is split until the bad row is alone."""
        began = time.perf_counter()
        try:
            outputs = await _timed("infer", self._patiently(lambda: self._call(batch)))
            placements = [row.placement for row in batch.rows]
            found = await _timed("decode", self._in_thread(partial(decode_batch, self._model, outputs, placements)))
        except (ModelRejected, BadModelOutput) as error:
            if len(batch.rows) == 1:
                return [], [_refused(batch.rows[0], error)]
            return await self._halves(batch)
        timings = {"inference_ms": round((time.perf_counter() - began) * 1000, 2), "batch_rows": float(len(batch.rows))}
        return [Succeeded(row, one, timings) for row, one in zip(batch.rows, found, strict=True)], []

    async def _halves(self, batch: PreparedBatch) -> tuple[list[Succeeded], list[Failed]]:
        middle = len(batch.rows) // 2
        succeeded: list[Succeeded] = []
        failed: list[Failed] = []
        for part in (slice(0, middle), slice(middle, None)):
            good, bad = await self._infer(batch.part(part))
            succeeded += good
            failed += [replace(row, attempts=row.attempts + 1) for row in bad]
        return succeeded, failed

    async def _call(self, batch: PreparedBatch) -> dict[str, Array]:
        BATCH_ROWS.observe(len(batch.rows))
        return await self._parts.triton.infer(self._claim.configuration.triton_model, self._card, batch.tensors)

    async def _store(self, succeeded: Sequence[Succeeded], failed: Sequence[Failed]) -> None:
        async with self._parts.sessions.begin() as session:
            await results.store(session, self._claim, succeeded, failed)
        ROWS.labels("succeeded").inc(len(succeeded))
        ROWS.labels("failed").inc(len(failed))

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Try again while a part is away, until the patience is over."""
        deadline = time.monotonic() + self._parts.settings.inference_patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await call()
            except ModelBroken:  # waiting does not mend it
                raise
            except PartAway:
                if time.monotonic() + pause > deadline:
                    raise
            RETRIES.inc()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _in_thread(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._parts.threads, call)


async def _timed(stage: str, work: Awaitable[Result]) -> Result:
    with STAGE_SECONDS.labels(stage).time():
        return await work


def _refused(row: Prepared, error: ModelRejected | BadModelOutput) -> Failed:
    stage, code = (
        ("output", "bad_model_output") if isinstance(error, BadModelOutput) else ("inference", "model_rejected")
    )
    return Failed(row.content.data_row_id, RowFailed(stage, code, str(error)[:500]))


def _reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that decides what happens next: a lost lease before anything else."""
    leaves = list(_leaves(group))
    return next((error for error in leaves if isinstance(error, LeaseLost)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
