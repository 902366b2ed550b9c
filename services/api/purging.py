"""What may go for good: projects that were deleted long ago, old previews, and processes that no longer live.

Page by page, so that no transaction is long, and so many pages a round; what is left goes in the next one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prometheus_client import Counter, Gauge
from sqlalchemy import ColumnElement, CursorResult, Delete, Table, delete, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.data_rows.objects import note_unused
from services.api.previews.remove import remove_preview
from services.api.settings import WorkerSettings
from shared.contracts.events import TERMINAL_STATES
from shared.database.engine import Sessions
from shared.database.tables import Base, BatchRow, DataRowRow, ModelRunRow, ProcessRow, ProjectRow
from shared.database.unit_of_work import transaction, unit_of_work
from shared.signals import Signals
from shared.telemetry import logger

ACTOR = "service:operations"
_LOCK_KEY = "purge"
_SILENT_FOR = timedelta(hours=1)

PURGED = Counter(
    "prelabel_operations_rows_purged_total", "Rows of projects deleted long ago that were removed", ["table"]
)
PREVIEWS = Counter("prelabel_operations_previews_removed_total", "Previews removed since they were old")
DATABASE = Gauge("prelabel_operations_database_bytes", "Size of the database on disk, with indexes and what is dead")

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Purge:
    """`pages` a round at most, each of `page_size` rows."""

    deleted_kept: timedelta
    previews_kept: timedelta
    page_size: int = 2_000
    pages: int = 50

    @classmethod
    def of(cls, settings: WorkerSettings) -> "Purge":
        return cls(timedelta(days=settings.deleted_kept_days), timedelta(days=settings.previews_kept_days))


async def purge(sessions: Sessions, signals: Signals, keep: Purge) -> None:
    """One round."""
    await purge_projects(sessions, keep)
    await remove_old_previews(sessions, signals, keep)
    async with transaction(sessions) as session:
        await session.execute(delete(ProcessRow).where(ProcessRow.heartbeat_at < func.now() - literal(_SILENT_FOR)))
        DATABASE.set(await session.scalar(text("SELECT pg_database_size(current_database())")) or 0)


async def purge_projects(sessions: Sessions, keep: Purge) -> int:
    """Rows that went. The project's own row is the last, so that whoever is cut off is followed by another round."""
    gone = pages = 0
    for project_id in await _deleted_projects(sessions, keep):
        for table in PURGED_TABLES:
            while pages < keep.pages:
                went = await _purge_page(sessions, table, project_id, keep.page_size)
                gone, pages = gone + went, pages + bool(went)
                if not went:
                    break
    if gone:
        log.info("projects_purged", rows=gone)
    return gone


async def remove_old_previews(sessions: Sessions, signals: Signals, keep: Purge) -> int:
    """As a member's DELETE would, with its event."""
    old = (
        select(ModelRunRow.id)
        .join(ProjectRow, ProjectRow.id == ModelRunRow.project_id)
        .where(
            ModelRunRow.purpose == "preview",
            ModelRunRow.finished_at < func.now() - literal(keep.previews_kept),
            ProjectRow.deleted_at.is_(None),
        )
        .order_by(ModelRunRow.finished_at)
        .limit(keep.pages)
    )
    async with sessions() as session:
        found = (await session.scalars(old)).all()
    for preview_id in found:
        async with unit_of_work(sessions, signals, ACTOR) as work:
            preview = await work.session.get(ModelRunRow, preview_id)
            if preview is not None and preview.state in TERMINAL_STATES:  # a member may have removed it
                await remove_preview(work, preview)
                PREVIEWS.inc()
    return len(found)


_Owned = Callable[[Table, UUID], ColumnElement[bool]]

_OWNED: Mapping[str, _Owned] = {
    "project_id": lambda table, project: table.c.project_id == project,
    "model_run_id": lambda table, project: table.c.model_run_id.in_(
        select(ModelRunRow.id).where(ModelRunRow.project_id == project)
    ),
    "data_row_id": lambda table, project: table.c.data_row_id.in_(
        select(DataRowRow.id).where(DataRowRow.project_id == project)
    ),
    "batch_id": lambda table, project: table.c.batch_id.in_(select(BatchRow.id).where(BatchRow.project_id == project)),
    "stream_id": lambda table, project: table.c.stream_id == project,
}
"""By which column a table's rows are a project's; the first that a table has counts."""
_BY_ID = ("streams", "projects")


def owner_of(table: Table) -> _Owned | None:
    if table.name in _BY_ID:
        return lambda table, project: table.c.id == project
    return next((owned for column, owned in _OWNED.items() if column in table.c), None)


def _purged_tables() -> Sequence[Table]:
    """Whatever belongs to a project, also tables that are new: what refers to others first, then those."""

    def rank(table: Table) -> int:
        return 2 if table.name in _BY_ID else 1 if "project_id" in table.c else 0

    belonging = [table for table in reversed(Base.metadata.sorted_tables) if owner_of(table)]
    return sorted(belonging, key=rank)


PURGED_TABLES = _purged_tables()
_CONTENTS = Base.metadata.tables["data_row_contents"]


async def _deleted_projects(sessions: Sessions, keep: Purge) -> Sequence[UUID]:
    wanted = select(ProjectRow.id).where(ProjectRow.deleted_at < func.now() - literal(keep.deleted_kept))
    async with sessions() as session:
        return (await session.scalars(wanted.order_by(ProjectRow.deleted_at).limit(keep.pages))).all()


async def _purge_page(sessions: Sessions, table: Table, project_id: UUID, size: int) -> int:
    owned = owner_of(table)
    assert owned is not None, table.name
    async with transaction(sessions) as session:
        if not await _is_ours(session):
            return 0
        key = tuple_(*table.primary_key.columns)
        page = select(*table.primary_key.columns).where(owned(table, project_id)).limit(size)
        removed = delete(table).where(key.in_(page))
        went = await (_remove_contents if table is _CONTENTS else _remove)(session, removed)
    PURGED.labels(table.name).inc(went)
    return went


async def _remove(session: AsyncSession, removed: Delete) -> int:
    done = await session.execute(removed)
    assert isinstance(done, CursorResult)
    return done.rowcount


async def _remove_contents(session: AsyncSession, removed: Delete) -> int:
    """Their objects are noted: nobody else may name them."""
    found = (await session.execute(removed.returning(_CONTENTS.c.workspace_id, _CONTENTS.c.uri))).all()
    for workspace_id in {workspace_id for workspace_id, _ in found}:
        await note_unused(session, workspace_id, [uri for of, uri in found if of == workspace_id and uri])
    return len(found)


async def _is_ours(session: AsyncSession) -> bool:
    """Any number of workers may: one at a time does it."""
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(_LOCK_KEY, 0)))))
