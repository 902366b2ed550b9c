"""Holding a run with its open segments, so that whoever moves it knows what it is."""

from services.api.model_runs import queries
from shared.contracts.event import Event
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.snapshots import run_counters

MOST_RINGS = 8


async def hold_run(work: UnitOfWork, run: ModelRunRow) -> None:
    """Segments before the run: the lock order everywhere. Its state is known only once both are held."""
    while True:
        before = run.execution
        async with work.session.begin_nested() as point:
            await queries.lock_open_segments(work.session, run)
            await queries.lock_run(work.session, run)
            if run.execution == before:
                return
            # A retry came between: its segments are not among those that are held.
            await point.rollback()


async def emit_exact(work: UnitOfWork, run: ModelRunRow, event: Event) -> None:
    """For a held run that stays open: with what its open segments have done so far."""
    counters = await run_counters(work.session, run)
    names = ("succeeded", "failed", "skipped", "detections")
    work.emit(event.model_copy(update={name: getattr(counters, name) for name in names}))
