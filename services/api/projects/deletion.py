"""Deleting a project: hidden at once, its open runs cancelled in the same transaction. Its rows stay for now."""

from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.projects import queries
from shared.contracts.events import RUN_EVENTS, TERMINAL_STATES, ProjectDeleted
from shared.database.tables import ModelRunRow, ProjectRow, SegmentRow
from shared.database.unit_of_work import UnitOfWork
from shared.snapshots import run_counters

_REASON = "project_deleted"


async def delete_project(work: UnitOfWork, principal: Principal, project_id: UUID) -> None:
    """A worker still busy with one of its segments finds another generation there and can store nothing more."""
    project = await queries.lock_project(work.session, principal.workspace_id, project_id)
    await _lock_open_segments(work.session, project)
    for run in await _lock_open_runs(work.session, project):
        await _cancel(work, run)
    await work.session.flush()
    await _close_segments(work.session, project)
    project.deleted_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    work.emit(ProjectDeleted(workspace_id=project.workspace_id, project_id=project.id))


async def _lock_open_segments(session: AsyncSession, project: ProjectRow) -> None:
    await session.execute(
        select(SegmentRow.id)
        .where(SegmentRow.project_id == project.id, SegmentRow.state.in_(("open", "leased")))
        .order_by(SegmentRow.id)
        .with_for_update()
    )


async def _lock_open_runs(session: AsyncSession, project: ProjectRow) -> list[ModelRunRow]:
    found = await session.scalars(
        select(ModelRunRow)
        .where(ModelRunRow.project_id == project.id, ModelRunRow.state.not_in(TERMINAL_STATES))
        .order_by(ModelRunRow.id)
        .with_for_update()
    )
    return list(found)


async def _cancel(work: UnitOfWork, run: ModelRunRow) -> None:
    counters = await run_counters(work.session, run)
    run.state, run.state_reason, run.finished_at = "cancelled", _REASON, func.clock_timestamp()
    run.succeeded, run.failed, run.skipped = counters.succeeded, counters.failed, counters.skipped
    run.detections = counters.detections
    work.emit(
        RUN_EVENTS["cancelled"](
            workspace_id=run.workspace_id,
            project_id=run.project_id,
            model_run_id=run.id,
            state="cancelled",
            reason=_REASON,
            execution=run.execution,
            total=run.total,
            succeeded=counters.succeeded,
            failed=counters.failed,
            skipped=counters.skipped,
            detections=counters.detections,
        )
    )


async def _close_segments(session: AsyncSession, project: ProjectRow) -> None:
    await session.execute(
        update(SegmentRow)
        .where(SegmentRow.project_id == project.id, SegmentRow.state.in_(("open", "leased")))
        .values(
            state="cancelled", generation=SegmentRow.generation + 1, holder=None, finished_at=func.clock_timestamp()
        )
    )
