"""Model runs: what is read and written. Previews are no runs here, and runs of deleted projects are not found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, Subquery, exists, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.operations import ENDED
from shared.contracts.resources import ModelRunSummary
from shared.database.tables import (
    AlignmentRow,
    BatchDataRowRow,
    BatchRow,
    DataRowReviewRow,
    DataRowRow,
    LabelRow,
    ModelRunRow,
    OperationRow,
    ProjectRow,
    RowOutcomeRow,
    SegmentRow,
)
from shared.errors import NotFound
from shared.snapshots import RunCounters, summary_of

_OPEN = ("open", "leased")
_LABELED = exists().where(LabelRow.data_row_id == DataRowRow.id, LabelRow.deleted_at.is_(None))
_SUBMITTED = exists().where(DataRowReviewRow.data_row_id == DataRowRow.id, DataRowReviewRow.state == "submitted")


@dataclass(frozen=True, slots=True)
class RowSelection:
    """Which data rows of a project a run is about, in data row order.

    `only_unlabeled` leaves out those with a label, and those whose review was submitted.
    """

    project: ProjectRow
    batch_ids: Sequence[UUID] = ()
    only_unlabeled: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Of the selected data rows, those with a label, and those whose review was submitted without one."""

    selected: int
    labeled: int
    submitted: int


async def get_run(session: AsyncSession, workspace_id: UUID, model_run_id: UUID) -> ModelRunRow:
    """Raises NotFound for one of another workspace."""
    row = await session.scalar(_runs(workspace_id).where(ModelRunRow.id == model_run_id))
    if row is None:
        raise NotFound()
    return row


async def database_time(session: AsyncSession) -> datetime:
    """Of this moment, by the clock that leases go by."""
    now: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def lock_run(session: AsyncSession, run: ModelRunRow) -> None:
    """Hold it as it is now. Its segments must be locked before. Raises NotFound when it has gone meanwhile."""
    wanted = select(ModelRunRow).where(ModelRunRow.id == run.id).with_for_update()
    if await session.scalar(wanted.execution_options(populate_existing=True)) is None:
        raise NotFound()


async def find_realignment(session: AsyncSession, run: ModelRunRow) -> UUID | None:
    """The operation that changes the run's alignment now. Whoever holds the run adds none meanwhile."""
    return await session.scalar(
        select(OperationRow.id)
        .where(
            OperationRow.workspace_id == run.workspace_id,
            OperationRow.kind == "realign_model_run",
            OperationRow.state.not_in(ENDED),
            OperationRow.parameters["model_run_id"].astext == str(run.id),
        )
        .limit(1)
    )


async def get_alignment_row(session: AsyncSession, run: ModelRunRow) -> AlignmentRow:
    """Who made the present version, and when."""
    found = await session.scalars(
        select(AlignmentRow).where(
            AlignmentRow.workspace_id == run.workspace_id,
            AlignmentRow.model_run_id == run.id,
            AlignmentRow.version == run.alignment_version,
        )
    )
    return found.one()


async def list_runs(
    session: AsyncSession, project: ProjectRow, state: str | None, before: UUID | None, limit: int
) -> list[ModelRunSummary]:
    """Newest first, each with its counters of this moment."""
    wanted = _runs(project.workspace_id).where(ModelRunRow.project_id == project.id)
    if state is not None:
        wanted = wanted.where(ModelRunRow.state == state)
    if before is not None:
        wanted = wanted.where(ModelRunRow.id < before)
    rows = list(await session.scalars(wanted.order_by(ModelRunRow.id.desc()).limit(limit)))
    counters = await counters_now(session, rows)
    return [summary_of(row, counters[row.id]) for row in rows]


async def counters_now(session: AsyncSession, rows: Sequence[ModelRunRow]) -> dict[UUID, RunCounters]:
    """The counters of each, with what its open segments have done so far."""
    added = await _count_open(session, rows)
    return {row.id: _sum(row, added.get(row.id, (0, 0, 0, 0))) for row in rows}


async def find_unknown_batches(session: AsyncSession, project: ProjectRow, batch_ids: Sequence[UUID]) -> list[int]:
    """Places in `batch_ids` of those the project does not have."""
    if not batch_ids:
        return []
    found = await session.scalars(
        select(BatchRow.id).where(
            BatchRow.workspace_id == project.workspace_id,
            BatchRow.project_id == project.id,
            BatchRow.id.in_(batch_ids),
        )
    )
    known = set(found)
    return [place for place, batch_id in enumerate(batch_ids) if batch_id not in known]


async def has_rows(session: AsyncSession, selection: RowSelection) -> bool:
    return bool(await session.scalar(select(exists(_rows(selection)))))


async def count_rows(session: AsyncSession, selection: RowSelection) -> RowCounts:
    """Without regard to the limit."""
    of_rows = _rows(replace(selection, only_unlabeled=False)).with_only_columns(
        func.count(), func.count().filter(_LABELED), func.count().filter(_SUBMITTED & ~_LABELED)
    )
    selected, labeled, submitted = (await session.execute(of_rows)).one()
    return RowCounts(selected, labeled, submitted)


async def list_every(session: AsyncSession, selection: RowSelection, step: int) -> list[UUID]:
    """The first of every `step` of the rows that a run of them would do."""
    numbered = _placed(selection)
    return list(await session.scalars(select(numbered.c.id).where(numbered.c.place % step == 0)))


async def insert_segments(session: AsyncSession, run: ModelRunRow, selection: RowSelection, size: int) -> list[int]:
    """Cut the selected rows into segments of `size`, in one statement; says how many rows each got."""
    numbered = _placed(selection)
    ordinal = (numbered.c.place // size).label("ordinal")
    cut = (
        select(
            ordinal,
            func.array_agg(aggregate_order_by(numbered.c.id, numbered.c.place)).label("data_row_ids"),
        )
        .group_by(ordinal)
        .subquery()
    )
    values = {
        "id": func.gen_random_uuid(),
        "workspace_id": literal(run.workspace_id),
        "project_id": literal(run.project_id),
        "model_run_id": literal(run.id),
        "execution": literal(run.execution),
        "ordinal": cut.c.ordinal,
        "priority": literal(run.priority),
        "purpose": literal(run.purpose),
        "data_row_ids": cut.c.data_row_ids,
    }
    made = await session.scalars(
        insert(SegmentRow)
        .from_select(list(values), select(*values.values()), include_defaults=False)
        .returning(func.cardinality(SegmentRow.data_row_ids))
    )
    return list(made)


async def lock_open_segments(session: AsyncSession, run: ModelRunRow) -> None:
    """By id, as everywhere; a worker that is storing a batch is waited for."""
    await session.execute(
        select(SegmentRow.id)
        .where(SegmentRow.model_run_id == run.id, SegmentRow.state.in_(_OPEN))
        .order_by(SegmentRow.id)
        .with_for_update()
    )


async def close_segments(session: AsyncSession, run: ModelRunRow) -> None:
    """Whoever still holds one finds another generation there and can store nothing more."""
    await session.execute(
        update(SegmentRow)
        .where(SegmentRow.model_run_id == run.id, SegmentRow.state.in_(_OPEN))
        .values(
            state="cancelled", generation=SegmentRow.generation + 1, holder=None, finished_at=func.clock_timestamp()
        )
    )


async def free_segments(session: AsyncSession, run: ModelRunRow) -> None:
    """Leave the open ones, with what they have counted, to whoever takes them once the run goes on."""
    await session.execute(
        update(SegmentRow)
        .where(SegmentRow.model_run_id == run.id, SegmentRow.state.in_(_OPEN))
        .values(state="open", generation=SegmentRow.generation + 1, holder=None, heartbeat_at=None)
    )


async def count_anew(session: AsyncSession, run: ModelRunRow) -> None:
    """Set the counters of a held run to what is in the tables, not what was added up on the way."""
    found = await session.execute(
        select(RowOutcomeRow.state, func.count(), func.sum(RowOutcomeRow.detections))
        .where(RowOutcomeRow.model_run_id == run.id)
        .group_by(RowOutcomeRow.state)
    )
    counts = {state: (int(rows), int(detections)) for state, rows, detections in found}
    of = {state: rows for state, (rows, _) in counts.items()}
    run.succeeded, run.failed, run.skipped = of.get("succeeded", 0), of.get("failed", 0), of.get("skipped", 0)
    run.detections = sum(detections for _, detections in counts.values())


def _runs(workspace_id: UUID) -> Select[ModelRunRow]:
    return (
        select(ModelRunRow)
        .join(ProjectRow, ProjectRow.id == ModelRunRow.project_id)
        .where(
            ModelRunRow.workspace_id == workspace_id,
            ModelRunRow.purpose != "preview",
            ProjectRow.deleted_at.is_(None),
        )
    )


def _rows(selection: RowSelection) -> Select[UUID]:
    project = selection.project
    wanted = select(DataRowRow.id).where(
        DataRowRow.workspace_id == project.workspace_id, DataRowRow.project_id == project.id
    )
    if selection.batch_ids:
        in_batch = select(BatchDataRowRow.data_row_id).where(BatchDataRowRow.batch_id.in_(selection.batch_ids))
        wanted = wanted.where(DataRowRow.id.in_(in_batch))
    if selection.only_unlabeled:
        wanted = wanted.where(~_LABELED, ~_SUBMITTED)
    return wanted


def _placed(selection: RowSelection) -> Subquery:
    """The selected rows with their places, within the limit."""
    place = (func.row_number().over(order_by=DataRowRow.id) - 1).label("place")
    return _rows(selection).add_columns(place).order_by(DataRowRow.id).limit(selection.limit).subquery()


async def _count_open(session: AsyncSession, rows: Sequence[ModelRunRow]) -> dict[UUID, tuple[int, int, int, int]]:
    """What the open segments of these runs have done so far."""
    found = await session.execute(
        select(
            SegmentRow.model_run_id,
            func.sum(SegmentRow.succeeded),
            func.sum(SegmentRow.failed),
            func.sum(SegmentRow.skipped),
            func.sum(SegmentRow.detections),
        )
        .where(SegmentRow.model_run_id.in_([row.id for row in rows]), SegmentRow.state.in_(_OPEN))
        .group_by(SegmentRow.model_run_id)
    )
    return {run_id: (int(done), int(failed), int(skipped), int(seen)) for run_id, done, failed, skipped, seen in found}


def _sum(row: ModelRunRow, added: tuple[int, int, int, int]) -> RunCounters:
    succeeded, failed, skipped, detections = added
    return RunCounters(
        row.succeeded + succeeded, row.failed + failed, row.skipped + skipped, row.detections + detections
    )
