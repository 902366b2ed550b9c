"""Two runs of the same data rows, side by side, and the rows where they do not show the same.

Rows are looked at through both alignments, page by page: a page stops after a bounded number of detections.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from services.api.measures.final_labels import against, shown_things
from services.api.measures.schemas import ComparedRow, ComparedRun, Metrics, RunComparison
from services.api.paging import Paging
from services.api.previews.compare import tally
from shared.database.tables import DataRowRow, ModelRunRow, RowOutcomeRow

_ROWS_AT_ONCE = 100
_DETECTIONS_A_PAGE = 20_000

Two: TypeAlias = tuple[ModelRunRow, ModelRunRow]


async def compare(session: AsyncSession, runs: Two, metrics: Sequence[Metrics], paging: Paging) -> RunComparison:
    items, next_key = await _different_rows(session, runs, paging)
    page = paging.page_with(items, next_key)
    first, second = (ComparedRun(model_run_id=run.id, metrics=of) for run, of in zip(runs, metrics, strict=True))
    return RunComparison(**dict(page), data_rows=await _count_common(session, runs), runs=(first, second))


async def _different_rows(
    session: AsyncSession, runs: Two, paging: Paging
) -> tuple[list[ComparedRow], tuple[str] | None]:
    both = [await against(session, run) for run in runs]
    after, left = paging.after_id, _DETECTIONS_A_PAGE
    items: list[ComparedRow] = []
    while True:
        rows = await _next_common(session, runs, after)
        if not rows:
            return items, None
        ids = [row_id for row_id, _, _ in rows]
        seen = [await shown_things(session, of, ids) for of in both]
        for row_id, key, _ in rows:
            one, other = (of.get(row_id, ()) for of in seen)
            found = tally(one, other)
            if found.differs:
                items.append(_row(row_id, key, (len(one), len(other)), found))
        if len(items) > paging.size:
            kept = items[: paging.size]
            return kept, (str(kept[-1].data_row_id),)
        after = ids[-1]
        left -= sum(count for _, _, count in rows)
        if left <= 0:
            return items, (str(after),)


def _row(row_id: UUID, key: str, shown: tuple[int, int], found: Any) -> ComparedRow:
    return ComparedRow(
        data_row_id=row_id,
        global_key=key,
        shown=shown,
        same=found.same,
        only_first=found.only_first,
        only_second=found.only_second,
    )


async def _next_common(session: AsyncSession, runs: Two, after: UUID | None) -> list[tuple[UUID, str, int]]:
    """With the number of detections of both."""
    one, other = aliased(RowOutcomeRow), aliased(RowOutcomeRow)
    wanted = (
        select(one.data_row_id, DataRowRow.global_key, one.detections + other.detections)
        .join(other, other.data_row_id == one.data_row_id)
        .join(DataRowRow, DataRowRow.id == one.data_row_id)
        .where(*_common(runs, one, other), one.detections + other.detections > 0)
    )
    if after is not None:
        wanted = wanted.where(one.data_row_id > after)
    found = await session.execute(wanted.order_by(one.data_row_id).limit(_ROWS_AT_ONCE))
    return [(row_id, key, count) for row_id, key, count in found]


async def _count_common(session: AsyncSession, runs: Two) -> int:
    one, other = aliased(RowOutcomeRow), aliased(RowOutcomeRow)
    wanted = (
        select(func.count())
        .select_from(one)
        .join(other, other.data_row_id == one.data_row_id)
        .where(*_common(runs, one, other))
    )
    return await session.scalar(wanted) or 0


def _common(runs: Two, one: Any, other: Any) -> list[Any]:
    first, second = runs
    return [
        one.workspace_id == first.workspace_id,
        one.model_run_id == first.id,
        other.model_run_id == second.id,
        one.state == "succeeded",
        other.state == "succeeded",
    ]
