"""The way of a segment's rows: fetch, prepare, infer, decode, store. Several batches are under way at once.

A batch's place in flight is free again only after its commit, so memory is bounded by batches, not by the segment.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from services.inference import results, segments
from services.inference.decoders import decode_batch
from services.inference.failures import ModelUnusable, PartAway, RowFailed, leaves
from services.inference.inputs import Prepared, PreparedBatch
from services.inference.intake import Intake
from services.inference.machinery import Machinery
from services.inference.metrics import BATCH_ROWS, ROWS, count_failed, timed
from services.inference.patience import patiently
from services.inference.results import Failed, Succeeded
from services.inference.segments import Claim, LeaseLost
from services.inference.served_model import ServedModel
from services.inference.triton import Array, BadModelOutput, ModelAway, ModelRejected
from shared.database.engine import DATABASE_ERRORS
from shared.telemetry import logger

_LEASES_A_ROW_MAY_COST = 3

_NOT_OF_A_ROW: tuple[type[Exception], ...] = (LeaseLost, PartAway, ModelUnusable, *DATABASE_ERRORS)

log = logger(__name__)


class Pipeline:
    """Works through one leased segment. Raises LeaseLost, or PartAway when the patience for a part is over."""

    def __init__(
        self, machinery: Machinery, claim: Claim, model: ServedModel, on_first: Callable[[], Awaitable[None]] | None
    ) -> None:
        """`on_first` is called when the first batch is stored."""
        self._parts = machinery
        self._claim = claim
        self._model = model
        self._card = model.card
        self._on_first = on_first
        self._stopping = False
        self._was_away = False

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
                batch = group.create_task(self._batch_together(rows[start : start + size]))
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
        # The other lanes' rows would share the blame for a crash.
        async with self._parts.solitude.alone():
            async with self._parts.sessions.begin() as session:
                await segments.suspect(session, self._claim, data_row_id)
            await self._batch([data_row_id])

    async def _batch_together(self, data_row_ids: Sequence[UUID]) -> None:
        async with self._parts.solitude.together():
            await self._batch(data_row_ids)

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
        memory = self._parts.servers.memory(self._claim.configuration)
        batches, failed = await Intake(self._parts, self._model, len(data_row_ids), memory).take(data_row_ids)
        succeeded: list[Succeeded] = []
        for batch in batches:
            good, refused = await self._infer(batch)
            succeeded += good
            failed += refused
        await timed("store", self._store(succeeded, failed))

    async def _infer(self, batch: PreparedBatch) -> tuple[list[Succeeded], list[Failed]]:
        """A batch that is refused is split until the bad row is alone."""
        began, patience = time.perf_counter(), self._parts.settings.inference_patience_seconds
        try:
            outputs = await timed("infer", patiently(patience, lambda: self._call(batch)))
            decode = partial(decode_batch, self._model, outputs, [row.placement for row in batch.rows])
            found = await timed("decode", self._parts.in_thread(decode))
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
        """Whoever was away may come back as another version, and that is looked at before its answers are taken."""
        BATCH_ROWS.observe(len(batch.rows))
        configuration, servers = self._claim.configuration, self._parts.servers
        if self._was_away:
            await servers.check_version(configuration)
            self._was_away = False
        try:
            return await servers.infer(configuration, batch.tensors)
        except ModelAway:
            self._was_away = True
            raise

    async def _store(self, succeeded: Sequence[Succeeded], failed: Sequence[Failed]) -> None:
        async with self._parts.sessions.begin() as session:
            await results.store(session, self._claim, succeeded, failed)
        if self._on_first is not None and succeeded:
            woken, self._on_first = self._on_first, None
            await woken()
        self._parts.speed.count(self._claim.configuration.catalog_model_id, len(succeeded) + len(failed))
        ROWS.labels("succeeded").inc(len(succeeded))
        ROWS.labels("failed").inc(len(failed))
        count_failed((row.error.stage, row.error.code) for row in failed)


def _refused(row: Prepared, error: ModelRejected | BadModelOutput) -> Failed:
    stage, code = (
        ("output", "bad_model_output") if isinstance(error, BadModelOutput) else ("inference", "model_rejected")
    )
    return Failed(row.content.data_row_id, RowFailed(stage, code, str(error)[:500]))


def _reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that decides what happens next: a lost lease before anything else."""
    found = list(leaves(group))
    return next((error for error in found if isinstance(error, LeaseLost)), found[0])
