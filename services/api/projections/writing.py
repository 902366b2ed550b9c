"""Storing what is shown: one row a data row, and the ledger added up."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import orjson
from sqlalchemy import CursorResult, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.projections.reading import ReadRow
from services.api.projections.seeing import RowView
from shared.database.driver import driver_of
from shared.database.ledger import LedgerPlace, add_to_ledger
from shared.database.tables import AlignmentRow, DataRowReviewRow, LedgerCountRow, ModelRunRow, RowProjectionRow

_COLUMNS = [
    "model_run_id",
    "alignment_version",
    "data_row_id",
    "workspace_id",
    "shown",
    "uncertainty",
    "margin",
    "entropy",
    "kept",
    "review_revision",
    "submitted",
]


async def next_version(session: AsyncSession, run: ModelRunRow) -> int:
    """Never used before: an operation that was cancelled leaves a version that nothing shows."""
    last = await session.scalar(
        select(func.max(AlignmentRow.version)).where(
            AlignmentRow.workspace_id == run.workspace_id, AlignmentRow.model_run_id == run.id
        )
    )
    return (last or 0) + 1


async def store(session: AsyncSession, run: ModelRunRow, version: int, seen: Sequence[tuple[ReadRow, RowView]]) -> None:
    await store_rows(session, run, version, seen)
    counts: Counter[tuple[str, str]] = Counter()
    for _, view in seen:
        for place, count in view.ledger.items():
            counts[place] += count
    # Not by segment, as a worker does: who re-projects goes by data rows.
    await add_to_ledger(await driver_of(session), LedgerPlace(run.id, version, run.id, run.workspace_id), counts)


async def store_rows(
    session: AsyncSession, run: ModelRunRow, version: int, seen: Sequence[tuple[ReadRow, RowView]]
) -> None:
    records = [
        (
            run.id,
            version,
            row.data_row_id,
            run.workspace_id,
            view.shown,
            *view.doubt,
            orjson.dumps(view.kept).decode() if view.kept else None,
            row.revision,
            row.submitted,
        )
        for row, view in seen
    ]
    await (await driver_of(session)).copy_records_to_table("row_projections", records=records, columns=_COLUMNS)


async def forget_rows(session: AsyncSession, run: ModelRunRow, version: int, data_row_ids: Sequence[UUID]) -> None:
    await session.execute(
        delete(RowProjectionRow).where(
            RowProjectionRow.model_run_id == run.id,
            RowProjectionRow.alignment_version == version,
            RowProjectionRow.data_row_id.in_(data_row_ids),
        )
    )


async def forget_others(session: AsyncSession, run: ModelRunRow, versions: Sequence[int], limit: int) -> bool:
    """Remove what is stored for all but these versions, some rows at a time; True when there may be more.

    The version shown so far stays until the next change, for readers that have begun with it.
    """
    other = and_(RowProjectionRow.model_run_id == run.id, RowProjectionRow.alignment_version.not_in(versions))
    key = (RowProjectionRow.alignment_version, RowProjectionRow.data_row_id)
    some = select(*key).where(other).limit(limit).subquery()
    gone = await session.execute(
        delete(RowProjectionRow).where(
            other,
            RowProjectionRow.alignment_version == some.c.alignment_version,
            RowProjectionRow.data_row_id == some.c.data_row_id,
        )
    )
    await session.execute(
        delete(LedgerCountRow).where(
            LedgerCountRow.model_run_id == run.id, LedgerCountRow.alignment_version.not_in(versions)
        )
    )
    return cast(CursorResult[Any], gone).rowcount >= limit


async def last_row(session: AsyncSession, run: ModelRunRow, version: int) -> UUID | None:
    """How far a version is stored, since rows are stored in their order."""
    return await session.scalar(
        select(RowProjectionRow.data_row_id)
        .where(RowProjectionRow.model_run_id == run.id, RowProjectionRow.alignment_version == version)
        .order_by(RowProjectionRow.data_row_id.desc())
        .limit(1)
    )


async def reviewed_since(session: AsyncSession, run: ModelRunRow, version: int, limit: int) -> list[UUID]:
    """Data rows somebody decided about after they were stored for this version."""
    found = await session.scalars(
        select(RowProjectionRow.data_row_id)
        .join(DataRowReviewRow, DataRowReviewRow.data_row_id == RowProjectionRow.data_row_id)
        .where(
            RowProjectionRow.model_run_id == run.id,
            RowProjectionRow.alignment_version == version,
            DataRowReviewRow.revision != RowProjectionRow.review_revision,
        )
        .order_by(RowProjectionRow.data_row_id)
        .limit(limit)
    )
    return list(found)


async def switch(session: AsyncSession, run: ModelRunRow, version: int) -> None:
    """From here on readers see the new version."""
    await session.execute(
        update(ModelRunRow)
        .where(ModelRunRow.workspace_id == run.workspace_id, ModelRunRow.id == run.id)
        .values(alignment_version=version)
    )
    await session.refresh(run)
