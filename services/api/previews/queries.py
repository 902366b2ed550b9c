"""Previews: what is read and written. Those of deleted projects are not found."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Select, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.queries import counters_now
from shared.contracts.events import TERMINAL_STATES
from shared.contracts.resources import PreviewSummary
from shared.database.tables import (
    DataRowRow,
    DetectionRow,
    LedgerCountRow,
    ModelRunRow,
    ProjectRow,
    RowOutcomeRow,
    RowProjectionRow,
    SegmentRow,
)
from shared.errors import NotFound
from shared.snapshots import preview_summary_of

WITHOUT = "null"
"""The stratum of data rows that do not have the field."""

# By what the user knows, the global key, and not by an id, which tells when it was imported.
_SHUFFLED = "sha256(convert_to(CAST(:seed AS text) || ':' || global_key, 'UTF8')), global_key COLLATE \"C\""
_STRATUM = "coalesce(metadata -> :field, 'null'::jsonb)::text"
_RANDOM = text(f"""
    SELECT id FROM (
        SELECT id FROM data_rows WHERE workspace_id = :workspace AND project_id = :project
        ORDER BY {_SHUFFLED} LIMIT :size
    ) taken ORDER BY id
""")
_STRATA = text(f"""
    SELECT {_STRATUM} AS stratum, count(*) FROM data_rows
    WHERE workspace_id = :workspace AND project_id = :project
    GROUP BY stratum ORDER BY stratum LIMIT :limit
""")
_STRATIFIED = text(f"""
    SELECT id FROM (
        SELECT id, stratum, row_number() OVER (PARTITION BY stratum ORDER BY {_SHUFFLED}) AS place
        FROM (
            SELECT id, global_key, {_STRATUM} AS stratum FROM data_rows
            WHERE workspace_id = :workspace AND project_id = :project
        ) known
    ) placed
    JOIN unnest(CAST(:strata AS text[]), CAST(:quotas AS int[])) AS wanted(stratum, quota) USING (stratum)
    WHERE place <= quota ORDER BY id
""")


async def find_preview(session: AsyncSession, workspace_id: UUID, preview_id: UUID) -> ModelRunRow | None:
    return await session.scalar(_previews(workspace_id).where(ModelRunRow.id == preview_id))


async def get_preview(session: AsyncSession, workspace_id: UUID, preview_id: UUID) -> ModelRunRow:
    """Raises NotFound for a run, and for a preview of another workspace."""
    row = await find_preview(session, workspace_id, preview_id)
    if row is None:
        raise NotFound()
    return row


async def list_previews(
    session: AsyncSession, project: ProjectRow, before: UUID | None, limit: int
) -> list[PreviewSummary]:
    """Newest first, each with its counters of this moment."""
    wanted = _previews(project.workspace_id).where(ModelRunRow.project_id == project.id)
    if before is not None:
        wanted = wanted.where(ModelRunRow.id < before)
    rows = list(await session.scalars(wanted.order_by(ModelRunRow.id.desc()).limit(limit)))
    counters = await counters_now(session, rows)
    return [preview_summary_of(row, counters[row.id]) for row in rows]


async def count_previews(session: AsyncSession, project: ProjectRow) -> tuple[int, int]:
    """All of the project, and those of them that have not ended."""
    found = await session.execute(
        select(func.count(), func.count().filter(ModelRunRow.state.not_in(TERMINAL_STATES))).where(
            ModelRunRow.workspace_id == project.workspace_id,
            ModelRunRow.project_id == project.id,
            ModelRunRow.purpose == "preview",
        )
    )
    every, still_open = found.one()
    return every, still_open


async def hold_oldest(session: AsyncSession, project: ProjectRow, limit: int) -> list[ModelRunRow]:
    """So many that have ended, without those somebody else is changing."""
    found = await session.scalars(
        select(ModelRunRow)
        .where(
            ModelRunRow.workspace_id == project.workspace_id,
            ModelRunRow.project_id == project.id,
            ModelRunRow.purpose == "preview",
            ModelRunRow.state.in_(TERMINAL_STATES),
        )
        .order_by(ModelRunRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(found)


async def list_sample(session: AsyncSession, preview: ModelRunRow) -> list[UUID]:
    """Its data rows, in data row order."""
    found = await session.scalars(
        select(SegmentRow.data_row_ids)
        .where(SegmentRow.model_run_id == preview.id, SegmentRow.execution == 1)
        .order_by(SegmentRow.ordinal)
    )
    return [data_row_id for ids in found for data_row_id in ids]


async def delete_preview(session: AsyncSession, preview: ModelRunRow) -> None:
    """With all that belongs to it; what has no key of the run goes first."""
    for table in (DetectionRow, RowOutcomeRow, RowProjectionRow, LedgerCountRow):
        await session.execute(
            delete(table).where(table.workspace_id == preview.workspace_id, table.model_run_id == preview.id)
        )
    await session.execute(delete(ModelRunRow).where(ModelRunRow.id == preview.id))


def add_segments(session: AsyncSession, run: ModelRunRow, data_row_ids: Sequence[UUID], size: int) -> int:
    """Says how many."""
    starts = range(0, len(data_row_ids), size)
    session.add_all(
        SegmentRow(
            workspace_id=run.workspace_id,
            project_id=run.project_id,
            model_run_id=run.id,
            execution=run.execution,
            ordinal=ordinal,
            priority=run.priority,
            purpose=run.purpose,
            data_row_ids=list(data_row_ids[start : start + size]),
        )
        for ordinal, start in enumerate(starts)
    )
    return len(starts)


async def find_unknown_rows(session: AsyncSession, project: ProjectRow, ids: Sequence[UUID]) -> list[int]:
    """Places in `ids` of those the project does not have."""
    found = await session.scalars(
        select(DataRowRow.id).where(
            DataRowRow.workspace_id == project.workspace_id,
            DataRowRow.project_id == project.id,
            DataRowRow.id.in_(ids),
        )
    )
    known = set(found)
    return [place for place, data_row_id in enumerate(ids) if data_row_id not in known]


async def first_rows(session: AsyncSession, project: ProjectRow, size: int) -> list[UUID]:
    found = await session.scalars(
        select(DataRowRow.id)
        .where(DataRowRow.workspace_id == project.workspace_id, DataRowRow.project_id == project.id)
        .order_by(DataRowRow.id)
        .limit(size)
    )
    return list(found)


async def random_rows(session: AsyncSession, project: ProjectRow, size: int, seed: int) -> list[UUID]:
    return list(await session.scalars(_RANDOM, {**_of(project), "size": size, "seed": str(seed)}))


async def count_strata(session: AsyncSession, project: ProjectRow, field: str, limit: int) -> dict[str, int]:
    """Values of the metadata field as JSON, each with its number of data rows."""
    found = await session.execute(_STRATA, {**_of(project), "field": field, "limit": limit})
    return {stratum: count for stratum, count in found}


async def stratified_rows(
    session: AsyncSession, project: ProjectRow, field: str, quotas: Mapping[str, int], seed: int
) -> list[UUID]:
    wanted = {"field": field, "strata": list(quotas), "quotas": list(quotas.values()), "seed": str(seed)}
    return list(await session.scalars(_STRATIFIED, {**_of(project), **wanted}))


def _of(project: ProjectRow) -> dict[str, UUID]:
    return {"workspace": project.workspace_id, "project": project.id}


def _previews(workspace_id: UUID) -> Select[ModelRunRow]:
    return (
        select(ModelRunRow)
        .join(ProjectRow, ProjectRow.id == ModelRunRow.project_id)
        .where(
            ModelRunRow.workspace_id == workspace_id,
            ModelRunRow.purpose == "preview",
            ProjectRow.deleted_at.is_(None),
        )
    )
