"""Objects that no data row names any more leave the object store. `services.api.data_rows.objects` notes them.

In steps, each of which may be the last of its process: marked as going, removed, marked as gone. What was marked and
not removed is removed by whoever comes next; who removes holds the rows, so that nobody else does it too late.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import Counter
from sqlalchemy import CursorResult, delete, exists, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.retention import FAILURES
from services.api.settings import WorkerSettings
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.tables import DataRowContentRow, UnusedObjectRow
from shared.database.unit_of_work import transaction
from shared.errors import Unavailable
from shared.object_store import ObjectStore, key_of
from shared.telemetry import logger

REMOVED = Counter(
    "prelabel_operations_objects_removed_total", "Objects that left the object store since no data row named them"
)
_BREAKS: tuple[type[Exception], ...] = (*DATABASE_ERRORS, Unavailable)

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Removal:
    """`pages` a round at most, each of `page_size` objects."""

    noted_for: timedelta = timedelta(days=1)
    page_size: int = 100
    pages: int = 20


async def keep_removing(sessions: Sessions, store: ObjectStore, settings: WorkerSettings) -> None:
    """For ever. Any number of workers may."""
    while True:
        await asyncio.sleep(settings.events_trim_seconds)
        try:
            await remove_unused(sessions, store, Removal())
        except _BREAKS as error:
            FAILURES.inc()
            log.warning("removing_broke_off", error=type(error).__name__)


async def remove_unused(sessions: Sessions, store: ObjectStore, limits: Removal) -> int:
    """One round: how many objects went."""
    gone = 0
    for _ in range(limits.pages):
        async with transaction(sessions) as session:
            looked_at = await _mark(session, limits)
        async with transaction(sessions) as session:
            went = await _remove(session, store, limits)
        gone += went
        if not looked_at and not went:
            break
    async with transaction(sessions) as session:
        known_long_enough = UnusedObjectRow.removed_at < func.now() - literal(limits.noted_for)
        await session.execute(delete(UnusedObjectRow).where(known_long_enough))
    if gone:
        log.info("objects_removed", objects=gone)
    return gone


async def _mark(session: AsyncSession, limits: Removal) -> int:
    """What nobody names is marked, what somebody names is forgotten; how many there were."""
    due = (
        select(UnusedObjectRow.uri)
        .where(UnusedObjectRow.removing_at.is_(None), UnusedObjectRow.noted_at < func.now() - literal(limits.noted_for))
        .order_by(UnusedObjectRow.noted_at)
        .limit(limits.page_size)
        .with_for_update(skip_locked=True)
    )
    uris = (await session.scalars(due)).all()
    these = UnusedObjectRow.uri.in_(uris)
    used = exists().where(DataRowContentRow.uri == UnusedObjectRow.uri)
    await session.execute(delete(UnusedObjectRow).where(these, used))
    await session.execute(update(UnusedObjectRow).where(these).values(removing_at=func.now()))
    return len(uris)


async def _remove(session: AsyncSession, store: ObjectStore, limits: Removal) -> int:
    marked = (
        select(UnusedObjectRow.uri)
        .where(UnusedObjectRow.removing_at.is_not(None), UnusedObjectRow.removed_at.is_(None))
        .limit(limits.page_size)
        .with_for_update(skip_locked=True)
    )
    uris = (await session.scalars(marked)).all()
    if not uris:
        return 0
    await store.check()  # or what is away with its mount would count as gone
    await store.remove(key_of(uri) or "" for uri in uris)
    done = await session.execute(
        update(UnusedObjectRow).where(UnusedObjectRow.uri.in_(uris)).values(removed_at=func.now())
    )
    assert isinstance(done, CursorResult)
    REMOVED.inc(done.rowcount)
    return done.rowcount
