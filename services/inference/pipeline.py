"""The way of a segment's rows: fetch, prepare, infer, decode, store. Several batches are under way at once.

A batch's place is free again only after its commit, so memory is bounded by batches, not by the segment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from services.inference import segments
from services.inference.failures import ModelUnusable, PartAway, RowFailed, leaves
from services.inference.inputs import PreparedBatch
from services.inference.intake import Intake, Portion
from services.inference.machinery import Machinery
from services.inference.model_call import ModelCall, Stopped, refusal
from services.inference.places import Place, Places
from services.inference.results import Failed, Outcomes
from services.inference.segments import Claim, LeaseLost
from services.inference.served_model import ServedModel
from services.inference.storing import Storing
from shared.database.engine import DATABASE_ERRORS
from shared.telemetry import about, logger
from shared.tracing import span, unseen

_LEASES_A_ROW_MAY_COST = 3
# A trace with every batch of a million rows could not be looked at.
_BATCHES_TRACED = 16
_STORED_TOGETHER = 3
"""Of a lane's places, the part whose batches are stored without waiting for more."""

_NOT_OF_A_ROW: tuple[type[Exception], ...] = (LeaseLost, PartAway, ModelUnusable, Stopped, *DATABASE_ERRORS)

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Lane:
    """What a segment shares with those before and after it.

    `places` are those of its batches: the segment before may still have some. `begun` is set when every batch is under
    way, so that another segment may begin. `on_lost` is called before anything follows from a lost lease, `on_woken`
    when the first result of a run is stored that was stalled.
    """

    places: Places
    on_lost: Callable[[Claim], None]
    on_woken: Callable[[Claim], Awaitable[None]]
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_begun(self, serving: asyncio.Task[None]) -> None:
        """Or until the segment is over."""
        begun = asyncio.create_task(self.begun.wait())
        try:
            await asyncio.wait({begun, serving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()


class Pipeline:
    """Works through one leased segment. Raises LeaseLost, or PartAway when the patience for a part is over."""

    def __init__(self, machinery: Machinery, claim: Claim, model: ServedModel, lane: Lane) -> None:
        self._parts = machinery
        self._claim = claim
        self._intake = Intake(machinery, model, machinery.servers.memory(claim.configuration))
        self._call = ModelCall(machinery, claim, model)
        self._storing = Storing(machinery, claim, lane.places.limit // _STORED_TOGETHER)
        self._lane = lane
        self._stopping = False
        self._is_stalled = claim.was_stalled
        self._batches = 0
        self._most_in_flight = lane.places.limit * model.card.max_batch_size + self._intake.most_waiting

    @property
    def model_run_id(self) -> UUID:
        return self._claim.model_run_id

    def stop(self) -> None:
        """Send no further batch; those at the model end."""
        self._stopping = True
        self._call.stop()

    async def run(self) -> bool:
        """True when every row has its outcome, False when it was stopped before."""
        pending = list(self._claim.pending)
        alone = self._rows_to_run_alone(pending)
        if alone:
            await self._call.check()
        with suppress(Stopped):
            for data_row_id in alone:
                await self._run_alone(data_row_id)
        try:
            await self._run_in_batches(pending[len(alone) :])
        except BaseExceptionGroup as group:
            raise _reason(group) from group
        return not self._stopping

    async def _run_in_batches(self, rows: Sequence[UUID]) -> None:
        async with asyncio.TaskGroup() as batches:
            async with asyncio.TaskGroup() as portions, aclosing(self._intake.portions(rows)) as found:
                portions.create_task(self._call.check())  # while the first rows are read
                async for portion in found:
                    place = await self._lane.places.take()
                    self._start(portions, self._begin(portion, batches, place), place)
                    if self._stopping:
                        return
            for batch in self._intake.rest():
                its = await self._lane.places.take()
                self._start(batches, self._end(batch), its)
            self._lane.begun.set()

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], place: Place) -> None:
        """With a place that is free when the work is over, however it ends."""
        try:
            task = group.create_task(work)
        except RuntimeError:  # the group is over: another batch of it failed
            work.close()
            place.free()
            return

        def ended(_: asyncio.Task[None]) -> None:
            place.free()
            self._storing.ends()

        self._storing.begins()
        task.add_done_callback(ended)

    async def _begin(self, portion: Portion, batches: asyncio.TaskGroup, place: Place) -> None:
        """Fetch and prepare. The first batch that comes of it gets the portion's place."""
        for batch in await self._prepared(portion):
            its = place.hand_over() if place.is_held else await self._lane.places.take()
            self._start(batches, self._end(batch), its)

    async def _prepared(self, portion: Portion) -> list[PreparedBatch]:
        if self._stopping:
            return []
        async with self._parts.solitude.together():
            ready, failed = await self._intake.take(portion)
        await self._fail(failed)
        return ready

    async def _end(self, batch: PreparedBatch) -> None:
        """Infer, decode and store."""
        with suppress(Stopped):
            async with self._parts.solitude.together():
                await self._through(batch)

    async def _through(self, batch: PreparedBatch, attempt: int = 1) -> None:
        """A batch that is refused is split until the bad row is alone."""
        self._batches += 1
        seen = self._batches <= _BATCHES_TRACED
        traced = span("batch", batch_id=batch.id, rows=len(batch.rows), attempt=attempt) if seen else unseen()
        with about(batch_id=batch.id), traced:
            await self._tried(batch, attempt)

    async def _tried(self, batch: PreparedBatch, attempt: int) -> None:
        try:
            await self._store(await self._call.outcomes(batch))
        except _NOT_OF_A_ROW:
            raise
        except Exception as error:  # a fault of ours too costs the row it belongs to, and never goes round for ever
            if len(batch.rows) == 1:
                await self._refuse(batch.rows[0].content.data_row_id, error, attempt)
                return
            middle = len(batch.rows) // 2
            for half in (slice(0, middle), slice(middle, None)):
                await self._through(batch.part(half), attempt + 1)

    async def _refuse(self, data_row_id: UUID, error: Exception, attempt: int) -> None:
        failed = refusal(error)
        if failed.code == "internal_error":
            log.error("row_failed", data_row=str(data_row_id), exc_info=error)
        await self._fail([Failed(data_row_id, failed, attempt)])

    def _rows_to_run_alone(self, pending: list[UUID]) -> list[UUID]:
        """After a takeover, the rows that may have been in flight: one of them may have killed the worker."""
        if not self._claim.taken_over:
            return []
        if self._claim.suspect in pending:
            pending.remove(self._claim.suspect)
            pending.insert(0, self._claim.suspect)
        return pending[: self._most_in_flight]

    async def _run_alone(self, data_row_id: UUID) -> None:
        if self._stopping:
            raise Stopped
        known = self._claim.suspect == data_row_id
        # The lease in which it was first in flight, in a batch, counts too.
        if known and self._claim.suspect_leases + 1 >= _LEASES_A_ROW_MAY_COST:
            error = RowFailed("inference", "worker_crashed", "every worker that took this row died")
            await self._fail([Failed(data_row_id, error, attempts=_LEASES_A_ROW_MAY_COST)])
            return
        # The other lanes' rows would share the blame for a crash.
        async with self._parts.solitude.alone():
            async with self._parts.sessions.begin() as session:
                await segments.suspect(session, self._claim, data_row_id)
            ready, failed = await self._intake.take(await self._intake.find([data_row_id]))
            await self._fail(failed)
            for batch in [*ready, *self._intake.rest()]:
                await self._through(batch)

    async def _fail(self, failed: Sequence[Failed]) -> None:
        if failed:
            await self._store(Outcomes.of(self._claim, [], failed))

    async def _store(self, outcomes: Outcomes) -> None:
        try:
            await self._storing.store(outcomes)
        except LeaseLost:
            self._lane.on_lost(self._claim)
            raise
        if self._is_stalled and outcomes.succeeded:
            self._is_stalled = False
            await self._lane.on_woken(self._claim)


def _reason(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that decides what happens next: a lost lease before anything else."""
    found = list(leaves(group))
    return next((error for error in found if isinstance(error, LeaseLost)), found[0])
