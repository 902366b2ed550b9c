"""The review queue: reservations, and what is shown of queued data rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.review.bulk_queries import begin_reviews
from shared.database.tables import BatchRow, DataRowReviewRow, DataRowRow, FeatureSchemaRow, ModelRunRow, ProjectRow

_HELD = text("""
    SELECT data_row_id FROM data_row_reviews
    WHERE workspace_id = :workspace AND project_id = :project AND reserved_by = :member
      AND reserved_until > clock_timestamp() AND state = 'open'
    ORDER BY reserved_until, data_row_id LIMIT :limit
""")
_TAKE = text("""
    WITH free AS (
        SELECT v.data_row_id FROM data_row_reviews v JOIN unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS w(id, place)
            ON v.data_row_id = w.id
        WHERE v.workspace_id = :workspace AND v.state = 'open'
          AND (v.reserved_by IS NULL OR v.reserved_by = :member OR v.reserved_until <= clock_timestamp())
        ORDER BY w.place LIMIT :limit
        FOR UPDATE OF v SKIP LOCKED
    )
    UPDATE data_row_reviews v
    SET reserved_by = :member, reserved_until = clock_timestamp() + make_interval(mins => :minutes)
    FROM free WHERE v.data_row_id = free.data_row_id
    RETURNING v.data_row_id
""")
_RELEASE = text("""
    UPDATE data_row_reviews SET reserved_by = NULL, reserved_until = NULL
    WHERE workspace_id = :workspace AND data_row_id = :row AND (reserved_by = :member OR :anybody)
""")
# Runs over data rows that were submitted before store no mark.
_MARK_SUBMITTED = text("""
    UPDATE row_projections p SET submitted = true
    FROM model_runs r, data_row_reviews v
    WHERE r.workspace_id = :workspace AND r.project_id = :project AND r.purpose <> 'preview'
      AND p.model_run_id = r.id AND p.alignment_version = r.alignment_version AND NOT p.submitted
      AND v.project_id = :project AND v.data_row_id = p.data_row_id AND v.state = 'submitted'
""")


@dataclass(frozen=True, slots=True)
class Hold:
    """Who takes data rows of which project, and for how long."""

    project: ProjectRow
    member_id: UUID
    minutes: int


async def list_held(session: AsyncSession, hold: Hold, limit: int) -> list[UUID]:
    """What they hold already."""
    given = {
        "workspace": hold.project.workspace_id,
        "project": hold.project.id,
        "member": hold.member_id,
        "limit": limit,
    }
    return list(await session.scalars(_HELD, given))


async def take(session: AsyncSession, hold: Hold, data_row_ids: Sequence[UUID], limit: int) -> list[UUID]:
    """Reserve up to `limit` of these, in their order. What somebody else works on at this moment is passed over."""
    of = {"workspace": hold.project.workspace_id, "ids": list(data_row_ids)}
    await begin_reviews(session, hold.project, data_row_ids)
    taken = set(await session.scalars(_TAKE, {**of, "member": hold.member_id, "minutes": hold.minutes, "limit": limit}))
    return [one for one in data_row_ids if one in taken]


async def release(session: AsyncSession, data_row: DataRowRow, member_id: UUID, *, anybody: bool) -> None:
    given = {"workspace": data_row.workspace_id, "row": data_row.id, "member": member_id, "anybody": anybody}
    await session.execute(_RELEASE, given)


async def mark_submitted(session: AsyncSession, project: ProjectRow) -> None:
    await session.execute(_MARK_SUBMITTED, {"workspace": project.workspace_id, "project": project.id})


@dataclass(frozen=True, slots=True)
class Place:
    """A data row as the queue sees it, with its reservation while that lives."""

    data_row_id: UUID
    global_key: str
    revision: int
    reserved_by: UUID | None
    reserved_until: datetime | None


async def list_places(session: AsyncSession, project: ProjectRow, data_row_ids: Sequence[UUID]) -> dict[UUID, Place]:
    found = await session.execute(
        text("""
            SELECT d.id, d.global_key, coalesce(v.revision, 0),
                   CASE WHEN v.reserved_until > clock_timestamp() THEN v.reserved_by END,
                   CASE WHEN v.reserved_until > clock_timestamp() THEN v.reserved_until END
            FROM data_rows d LEFT JOIN data_row_reviews v ON v.data_row_id = d.id
            WHERE d.workspace_id = :workspace AND d.id = ANY(CAST(:ids AS uuid[]))
        """),
        {"workspace": project.workspace_id, "ids": list(data_row_ids)},
    )
    return {row[0]: Place(*row) for row in found}


async def find_runs(session: AsyncSession, project: ProjectRow, run_ids: Sequence[UUID]) -> list[ModelRunRow]:
    """Those of the project; previews are not reviewed."""
    found = await session.scalars(
        select(ModelRunRow)
        .where(
            ModelRunRow.workspace_id == project.workspace_id,
            ModelRunRow.project_id == project.id,
            ModelRunRow.purpose != "preview",
            ModelRunRow.id.in_(run_ids),
        )
        .order_by(ModelRunRow.id)
    )
    return list(found)


async def has_batch(session: AsyncSession, project: ProjectRow, batch_id: UUID) -> bool:
    found = exists().where(BatchRow.project_id == project.id, BatchRow.id == batch_id)
    return bool(await session.scalar(select(found)))


async def has_feature(session: AsyncSession, project: ProjectRow, feature_id: UUID) -> bool:
    found = exists().where(FeatureSchemaRow.project_id == project.id, FeatureSchemaRow.id == feature_id)
    return bool(await session.scalar(select(found)))


async def find_reservation(session: AsyncSession, workspace_id: UUID, data_row_id: UUID) -> DataRowReviewRow | None:
    return await session.scalar(
        select(DataRowReviewRow)
        .where(DataRowReviewRow.workspace_id == workspace_id, DataRowReviewRow.data_row_id == data_row_id)
        .execution_options(populate_existing=True)
    )
