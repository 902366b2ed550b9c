"""Review: what is read and written. Labels and decisions of deleted projects are not found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import (
    DataRowContentRow,
    DataRowReviewRow,
    DataRowRow,
    DecisionRow,
    LabelRow,
    ModelRunRow,
    ProjectRow,
)
from shared.errors import NotFound

Moment: TypeAlias = datetime

_MARKS = (
    text("UPDATE data_rows SET submitted = :submitted WHERE id = ANY(CAST(:rows AS uuid[])) AND project_id = :project"),
    text("UPDATE batch_data_rows SET submitted = :submitted WHERE data_row_id = ANY(CAST(:rows AS uuid[]))"),
    text("""
        UPDATE row_projections p SET submitted = :submitted
        FROM model_runs r
        WHERE r.project_id = :project AND r.purpose <> 'preview'
          AND p.model_run_id = r.id AND p.alignment_version = r.alignment_version
          AND p.data_row_id = ANY(CAST(:rows AS uuid[]))
    """),
    text("""
        UPDATE row_disagreements d SET submitted = :submitted
        FROM run_comparisons c
        WHERE c.project_id = :project AND d.comparison_id = c.id AND d.data_row_id = ANY(CAST(:rows AS uuid[]))
    """),
)


@dataclass(frozen=True, slots=True)
class LabelFilter:
    data_row_id: UUID | None = None
    feature_schema_id: UUID | None = None


async def get_data_row(session: AsyncSession, workspace_id: UUID, data_row_id: UUID) -> DataRowRow:
    """Raises NotFound for one of another workspace."""
    row = await session.scalar(
        select(DataRowRow)
        .join(ProjectRow, ProjectRow.id == DataRowRow.project_id)
        .where(DataRowRow.workspace_id == workspace_id, DataRowRow.id == data_row_id, ProjectRow.deleted_at.is_(None))
    )
    if row is None:
        raise NotFound()
    return row


async def find_review(session: AsyncSession, data_row: DataRowRow) -> DataRowReviewRow | None:
    return await session.scalar(
        select(DataRowReviewRow).where(
            DataRowReviewRow.workspace_id == data_row.workspace_id, DataRowReviewRow.data_row_id == data_row.id
        )
    )


async def lock_review(session: AsyncSession, data_row: DataRowRow) -> DataRowReviewRow:
    """Made when it is not there yet. Whoever decides about the same data row waits."""
    await session.execute(
        insert(DataRowReviewRow)
        .values(data_row_id=data_row.id, workspace_id=data_row.workspace_id, project_id=data_row.project_id)
        .on_conflict_do_nothing(index_elements=[DataRowReviewRow.data_row_id])
    )
    return (
        await session.scalars(
            select(DataRowReviewRow).where(DataRowReviewRow.data_row_id == data_row.id).with_for_update()
        )
    ).one()


async def list_decisions(session: AsyncSession, data_row: DataRowRow) -> list[DecisionRow]:
    return list(
        await session.scalars(
            select(DecisionRow)
            .where(DecisionRow.workspace_id == data_row.workspace_id, DecisionRow.data_row_id == data_row.id)
            .order_by(DecisionRow.id)
        )
    )


async def list_labels_of(session: AsyncSession, data_row: DataRowRow, *, gone: bool = False) -> list[LabelRow]:
    """`gone`: those that were deleted, too."""
    found = select(LabelRow).where(LabelRow.workspace_id == data_row.workspace_id, LabelRow.data_row_id == data_row.id)
    if not gone:
        found = found.where(LabelRow.deleted_at.is_(None))
    return list(await session.scalars(found.order_by(LabelRow.id)))


async def find_content(session: AsyncSession, data_row: DataRowRow) -> DataRowContentRow | None:
    return await session.scalar(
        select(DataRowContentRow).where(
            DataRowContentRow.workspace_id == data_row.workspace_id, DataRowContentRow.data_row_id == data_row.id
        )
    )


async def database_time(session: AsyncSession) -> Moment:
    now: Moment = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def mark_submitted(
    session: AsyncSession, project_id: UUID, data_row_ids: Sequence[UUID], *, submitted: bool
) -> None:
    """In everything the review queue finds data rows by."""
    for statement in _MARKS:
        of = {"rows": list(data_row_ids), "project": project_id, "submitted": submitted}
        await session.execute(statement, of)


async def list_labels(
    session: AsyncSession, project: ProjectRow, wanted: LabelFilter, after: UUID | None, limit: int
) -> list[LabelRow]:
    labels = select(LabelRow).where(
        LabelRow.workspace_id == project.workspace_id,
        LabelRow.project_id == project.id,
        LabelRow.deleted_at.is_(None),
    )
    if wanted.data_row_id is not None:
        labels = labels.where(LabelRow.data_row_id == wanted.data_row_id)
    if wanted.feature_schema_id is not None:
        labels = labels.where(LabelRow.feature_schema_id == wanted.feature_schema_id)
    if after is not None:
        labels = labels.where(LabelRow.id > after)
    return list(await session.scalars(labels.order_by(LabelRow.id).limit(limit)))


async def hold_runs(session: AsyncSession, data_row: DataRowRow, run_ids: Sequence[UUID]) -> dict[UUID, ModelRunRow]:
    """Those of the data row's own project; previews are not reviewed. Held, so that none is re-projected meanwhile."""
    found = await session.scalars(
        select(ModelRunRow)
        .where(
            ModelRunRow.workspace_id == data_row.workspace_id,
            ModelRunRow.project_id == data_row.project_id,
            ModelRunRow.purpose != "preview",
            ModelRunRow.id.in_(run_ids),
        )
        .order_by(ModelRunRow.id)
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    return {run.id: run for run in found}
