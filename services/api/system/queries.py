"""The installation: what is read. `workspace_id` None is all workspaces, and for operators alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import CatalogModelRow, OperationRow, ProcessRow

_ALIVE_SECONDS = 60
_MOST_PROCESSES, _MOST_MODELS = 1_000, 1_000

_QUEUE = text("""
    SELECT r.purpose,
           count(*) FILTER (WHERE r.state = 'queued') AS queued,
           count(*) FILTER (WHERE r.state = 'running') AS running,
           count(*) FILTER (WHERE r.state = 'stalled') AS stalled,
           coalesce(sum(r.total - r.succeeded - r.failed - r.skipped), 0) AS rows_to_do,
           coalesce(sum(s.open), 0) AS open_segments,
           coalesce(max(extract(epoch FROM now() - coalesce(r.served_at, r.created_at)))
               FILTER (WHERE s.open > 0 AND r.state <> 'stalled' AND r.waiting_for IS NULL), 0) AS oldest_seconds
    FROM model_runs r
    CROSS JOIN LATERAL (
        SELECT count(*) AS open FROM segments s WHERE s.model_run_id = r.id AND s.state = 'open'
    ) s
    WHERE r.state IN ('queued', 'running', 'stalled')
      AND (CAST(:workspace AS uuid) IS NULL OR r.workspace_id = :workspace)
    GROUP BY r.purpose
    ORDER BY r.purpose
""")


async def read_server(session: AsyncSession) -> tuple[datetime, str, str | None]:
    """Its time, its version, and the newest migration."""
    now, version = (await session.execute(select(func.now(), func.current_setting("server_version")))).one()
    return now, version, await session.scalar(text("SELECT version_num FROM alembic_version"))


async def list_queue_depths(session: AsyncSession, workspace_id: UUID | None) -> Sequence[Row[Any]]:
    return (await session.execute(_QUEUE, {"workspace": workspace_id})).all()


async def count_operations(session: AsyncSession, workspace_id: UUID | None) -> Row[int, int, int]:
    queued = OperationRow.state == "queued"
    age = func.extract("epoch", func.now() - func.min(OperationRow.created_at).filter(queued))
    wanted = select(
        func.count().filter(queued).label("queued"),
        func.count().filter(OperationRow.state == "running").label("running"),
        func.coalesce(age, 0).label("oldest_seconds"),
    ).where(OperationRow.state.in_(("queued", "running")))
    if workspace_id is not None:
        wanted = wanted.where(OperationRow.workspace_id == workspace_id)
    return (await session.execute(wanted)).one()


async def list_processes(session: AsyncSession) -> Sequence[ProcessRow]:
    alive = ProcessRow.heartbeat_at > func.now() - func.make_interval(0, 0, 0, 0, 0, 0, _ALIVE_SECONDS)
    wanted = select(ProcessRow).where(alive).order_by(ProcessRow.service, ProcessRow.purpose, ProcessRow.id)
    return (await session.scalars(wanted.limit(_MOST_PROCESSES))).all()


async def list_models(session: AsyncSession, workspace_id: UUID | None) -> Sequence[CatalogModelRow]:
    wanted = select(CatalogModelRow).where(CatalogModelRow.deleted_at.is_(None))
    if workspace_id is not None:
        own = CatalogModelRow.workspace_id == workspace_id
        wanted = wanted.where(or_(CatalogModelRow.workspace_id.is_(None), own))
    return (await session.scalars(wanted.order_by(CatalogModelRow.slug, CatalogModelRow.id).limit(_MOST_MODELS))).all()
