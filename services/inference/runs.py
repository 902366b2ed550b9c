"""Moves of a run that workers make: started, stalled and back, ended. The run's row is locked before its stream."""

from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Row, bindparam, case, exists, func, select, text, update

from shared.contracts.event import RunState
from shared.contracts.run_verbs import OPEN
from shared.database.run_events import state_event, unstalled_event
from shared.database.tables import ModelRunRow, RowOutcomeRow, SegmentRow
from shared.database.unit_of_work import UnitOfWork
from shared.database.waiting import StoredWaiting

_QUEUED = text("""
    UPDATE model_runs r
    SET state_reason = CASE WHEN m.state <> 'ready' THEN coalesce(m.state_reason, 'the model is ' || m.state) END,
        waiting_for = CASE WHEN m.state <> 'ready' THEN 'model' END
    FROM catalog_models m
    WHERE m.id = r.catalog_model_id AND r.state = 'queued'
      AND (m.state <> 'ready') <> (r.waiting_for IS NOT DISTINCT FROM 'model' AND r.state_reason IS NOT NULL)
""")

# A worker got no answer, and now the model is known to be away: the one who follows the models wakes it.
_TAKEN_ON = text("""
    UPDATE model_runs r
    SET waiting_for = 'model', state_reason = coalesce(m.state_reason, r.state_reason)
    FROM catalog_models m
    WHERE m.id = r.catalog_model_id AND r.state = 'stalled' AND r.waiting_for = 'answer' AND m.state <> 'ready'
""")

_MOVED = text("""
    SELECT r.id, m.state = 'ready' AS ready, m.state_reason
    FROM model_runs r JOIN catalog_models m ON m.id = r.catalog_model_id
    WHERE (r.state = 'running' AND m.state <> 'ready')
       OR (r.state = 'stalled' AND r.waiting_for = 'model' AND m.state = 'ready')
    ORDER BY r.id
""")


_RUN = ModelRunRow.metadata.tables[ModelRunRow.__tablename__]


def _start() -> Executable:
    """One statement: every claim waits for it."""
    before = select(_RUN.c.id, _RUN.c.state).where(_RUN.c.id == bindparam("run"), _RUN.c.state.in_(OPEN))
    held = before.with_for_update().cte("held")
    queued, now = held.c.state == "queued", func.clock_timestamp()
    begun = {
        "state": "running",
        "state_reason": None,
        "waiting_for": None,
        "started_at": func.coalesce(_RUN.c.started_at, now),
    }
    values = {name: case((queued, value), else_=_RUN.c[name]) for name, value in begun.items()}
    return (
        update(_RUN)
        .where(_RUN.c.id == held.c.id)
        .values(served_at=now, **values)
        .returning(*_RUN.c, queued.label("was_queued"))
    )


_START = _start()


async def start(work: UnitOfWork, model_run_id: UUID) -> ModelRunRow | None:
    """The run, now running; None when it is no longer open."""
    found = (await work.session.execute(_START, {"run": model_run_id})).one_or_none()
    if found is None:
        return None
    values = found._asdict()
    was_queued = values.pop("was_queued")
    run = ModelRunRow(**values)  # of no session: nothing more of it is written here
    if was_queued:
        work.emit(state_event(run))
    return run


async def segment_ended(work: UnitOfWork, model_run_id: UUID, ended: Row[Any]) -> None:
    """Add the counters of the segment that ended to the run; end the run when it was the last one."""
    # Locked before it is asked whether others are open, so that exactly one worker sees none.
    run = await _locked(work, model_run_id)
    if run is None:
        return
    run.succeeded += ended.succeeded
    run.failed += ended.failed
    run.skipped += ended.skipped
    run.detections += ended.detections
    still_open = exists().where(SegmentRow.model_run_id == model_run_id, SegmentRow.state.in_(("open", "leased")))
    if not await work.session.scalar(select(still_open)):
        await _count_exactly(work, run)
        await _end(work, run, "completed_with_errors" if run.failed else "completed")


async def fail(work: UnitOfWork, model_run_id: UUID, reason: str) -> None:
    """Stop the run for a reason that no retry mends. What is there stays; the other rows read `not_run`."""
    await work.session.execute(
        text(
            "SELECT id FROM segments WHERE model_run_id = :run AND state IN ('open', 'leased') ORDER BY id FOR UPDATE"
        ),
        {"run": model_run_id},
    )
    run = await _locked(work, model_run_id)
    if run is None:
        return
    await work.session.execute(
        update(SegmentRow)
        .where(SegmentRow.model_run_id == model_run_id, SegmentRow.state.in_(("open", "leased")))
        .values(state="cancelled", generation=SegmentRow.generation + 1)
    )
    await _count_exactly(work, run)
    await _end(work, run, "failed", reason)


async def follow_models(work: UnitOfWork) -> bool:
    """Stall the open runs whose model is away and wake those whose model is back. True when one woke.

    A queued run stays queued, but says what it waits for.
    """
    await work.session.execute(_QUEUED)
    await work.session.execute(_TAKEN_ON)
    woken = False
    for model_run_id, ready, reason in (await work.session.execute(_MOVED)).all():
        if ready:
            woken |= await wake(work, model_run_id)
        else:
            await stall(work, model_run_id, "model", reason or "the model is not ready")
    return woken


async def are_open(work: UnitOfWork) -> bool:
    """Whether there are any, of any purpose."""
    found = await work.session.scalar(select(exists().where(ModelRunRow.state.in_(OPEN))))
    return bool(found)


async def waits_for_store(work: UnitOfWork) -> list[UUID]:
    """The runs that stand still since the object store is away."""
    wanted = select(ModelRunRow.id).where(ModelRunRow.state == "stalled", ModelRunRow.waiting_for == "object_store")
    return list(await work.session.scalars(wanted.order_by(ModelRunRow.id)))


async def stall(work: UnitOfWork, model_run_id: UUID, part: StoredWaiting, reason: str) -> None:
    """Say once that a running run stands still, and why."""
    run = await _locked(work, model_run_id)
    if run is not None and run.state == "running":
        run.waiting_for = part
        await _move(work, run, "stalled", reason)


async def wake(work: UnitOfWork, model_run_id: UUID) -> bool:
    """Say once that a stalled run goes on; False when it was not stalled any more."""
    run = await _locked(work, model_run_id)
    if run is None or run.state != "stalled":
        return False
    run.waiting_for = None
    await _move(work, run, "running")
    return True


async def _locked(work: UnitOfWork, model_run_id: UUID) -> ModelRunRow | None:
    found = await work.session.scalars(
        select(ModelRunRow)
        .where(ModelRunRow.id == model_run_id, ModelRunRow.state.in_(OPEN))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.one_or_none()


async def _count_exactly(work: UnitOfWork, run: ModelRunRow) -> None:
    """The terminal event carries what is in the tables, not what was added up on the way."""
    found = await work.session.execute(
        select(RowOutcomeRow.state, func.count(), func.sum(RowOutcomeRow.detections))
        .where(RowOutcomeRow.model_run_id == run.id)
        .group_by(RowOutcomeRow.state)
    )
    by_state = {state: (rows, int(detections)) for state, rows, detections in found}
    run.succeeded = by_state.get("succeeded", (0, 0))[0]
    run.failed = by_state.get("failed", (0, 0))[0]
    run.skipped = by_state.get("skipped", (0, 0))[0]
    run.detections = sum(detections for _, detections in by_state.values())


async def _end(work: UnitOfWork, run: ModelRunRow, state: RunState, reason: str | None = None) -> None:
    run.finished_at = await work.session.scalar(select(func.clock_timestamp()))
    await _move(work, run, state, reason)


async def _move(work: UnitOfWork, run: ModelRunRow, state: RunState, reason: str | None = None) -> None:
    woken = run.state == "stalled" and state == "running"
    run.state, run.state_reason = state, reason
    work.emit(unstalled_event(run) if woken else state_event(run))
