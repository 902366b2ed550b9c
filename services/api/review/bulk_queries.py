"""Deciding in bulk: what is read and held, many data rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import (
    DataRowReviewRow,
    DataRowRow,
    DecisionRow,
    LabelRow,
    ModelRunRow,
    ProjectRow,
    RowProjectionRow,
)


@dataclass(frozen=True, slots=True)
class HeldReview:
    """`is_reserved`: by somebody, at this moment of the database's clock."""

    review: DataRowReviewRow
    is_reserved: bool


async def begin_reviews(session: AsyncSession, project: ProjectRow, data_row_ids: Sequence[UUID]) -> None:
    """Those that are not there yet. In the order of ids, so that two who do it at once never wait for one another."""
    await session.execute(
        text("""
            INSERT INTO data_row_reviews (data_row_id, workspace_id, project_id)
            SELECT id, :workspace, :project FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
            ON CONFLICT (data_row_id) DO NOTHING
        """),
        {"workspace": project.workspace_id, "project": project.id, "ids": list(data_row_ids)},
    )


async def hold_reviews(
    session: AsyncSession, project: ProjectRow, data_row_ids: Sequence[UUID], *, hold: bool
) -> dict[UUID, HeldReview]:
    """Those of them that nobody else holds at this moment; without `hold` all, as they are."""
    wanted = (
        select(DataRowReviewRow, func.coalesce(DataRowReviewRow.reserved_until > func.clock_timestamp(), false()))
        .where(
            DataRowReviewRow.workspace_id == project.workspace_id,
            DataRowReviewRow.project_id == project.id,
            DataRowReviewRow.data_row_id.in_(data_row_ids),
        )
        .order_by(DataRowReviewRow.data_row_id)
        .execution_options(populate_existing=True)
    )
    if hold:
        wanted = wanted.with_for_update(skip_locked=True)
    return {row.data_row_id: HeldReview(row, reserved) for row, reserved in await session.execute(wanted)}


async def find_run(
    session: AsyncSession, project: ProjectRow, run_id: UUID, *, hold: bool = False
) -> ModelRunRow | None:
    """One of the project that is no preview. `hold`: as whoever decides does."""
    wanted = select(ModelRunRow).where(
        ModelRunRow.workspace_id == project.workspace_id,
        ModelRunRow.project_id == project.id,
        ModelRunRow.purpose != "preview",
        ModelRunRow.id == run_id,
    )
    if hold:
        wanted = wanted.with_for_update(read=True)
    return await session.scalar(wanted.execution_options(populate_existing=True))


async def list_shown(session: AsyncSession, run: ModelRunRow, after: UUID | None, limit: int) -> list[UUID]:
    """The next data rows on which the run shows something."""
    wanted = select(RowProjectionRow.data_row_id).where(
        RowProjectionRow.workspace_id == run.workspace_id,
        RowProjectionRow.model_run_id == run.id,
        RowProjectionRow.alignment_version == run.alignment_version,
        RowProjectionRow.shown > 0,
    )
    if after is not None:
        wanted = wanted.where(RowProjectionRow.data_row_id > after)
    return list(await session.scalars(wanted.order_by(RowProjectionRow.data_row_id).limit(limit)))


async def list_data_rows(session: AsyncSession, project: ProjectRow, data_row_ids: Sequence[UUID]) -> list[DataRowRow]:
    return list(
        await session.scalars(
            select(DataRowRow)
            .where(DataRowRow.workspace_id == project.workspace_id, DataRowRow.id.in_(data_row_ids))
            .order_by(DataRowRow.id)
        )
    )


async def list_labels_on(session: AsyncSession, project: ProjectRow, data_row_ids: Sequence[UUID]) -> list[LabelRow]:
    return list(
        await session.scalars(
            select(LabelRow)
            .where(
                LabelRow.workspace_id == project.workspace_id,
                LabelRow.data_row_id.in_(data_row_ids),
                LabelRow.deleted_at.is_(None),
            )
            .order_by(LabelRow.id)
        )
    )


def _of_bulk(project: ProjectRow, operation_id: UUID) -> ColumnElement[bool]:
    return and_(DecisionRow.workspace_id == project.workspace_id, DecisionRow.operation_id == operation_id)


async def list_rows_of_bulk(
    session: AsyncSession, project: ProjectRow, operation_id: UUID, after: UUID | None, limit: int
) -> list[UUID]:
    """The next data rows that the bulk has decided about."""
    wanted = select(DecisionRow.data_row_id).distinct().where(_of_bulk(project, operation_id))
    if after is not None:
        wanted = wanted.where(DecisionRow.data_row_id > after)
    return list(await session.scalars(wanted.order_by(DecisionRow.data_row_id).limit(limit)))


async def count_rows_of_bulk(session: AsyncSession, project: ProjectRow, operation_id: UUID) -> int:
    counted = select(func.count(func.distinct(DecisionRow.data_row_id))).where(_of_bulk(project, operation_id))
    return await session.scalar(counted) or 0


async def list_decisions_of_bulk(
    session: AsyncSession, project: ProjectRow, operation_id: UUID, data_row_ids: Sequence[UUID]
) -> list[DecisionRow]:
    return list(
        await session.scalars(
            select(DecisionRow)
            .where(_of_bulk(project, operation_id), DecisionRow.data_row_id.in_(data_row_ids))
            .order_by(DecisionRow.data_row_id, DecisionRow.id)
            .execution_options(populate_existing=True)
        )
    )
