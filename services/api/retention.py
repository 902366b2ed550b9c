"""Old events leave the log: `first_offset` moves, the epoch stays. Who comes back from before gets a snapshot."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import ColumnElement, delete, func, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.purging import Purge, purge
from services.api.settings import WorkerSettings
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.event_log import Head, read_head
from shared.database.tables import EventRow, MemberRow, NotificationReadRow, StreamRow
from shared.database.unit_of_work import transaction
from shared.signals import Signals
from shared.telemetry import logger

_LOCK_KEY = "event_retention"
_STREAMS_AT_ONCE = 500

TRIMMED = Counter("prelabel_operations_events_trimmed_total", "Events that were old enough to leave the log")
FAILURES = Counter("prelabel_operations_trim_failures_total", "Rounds of trimming that broke off; the next goes on")

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """An event stays until it is older than `age`, or more than `most` events of its stream are newer."""

    age: timedelta
    most: int
    page_size: int = 2_000

    @classmethod
    def of(cls, settings: WorkerSettings) -> "Retention":
        return cls(timedelta(days=settings.events_kept_days), settings.events_kept)


async def keep_trimming(sessions: Sessions, signals: Signals, settings: WorkerSettings) -> None:
    """For ever: events that are old, and what `services.api.purging` removes. One worker at a time does it."""
    while True:
        await asyncio.sleep(settings.events_trim_seconds)
        try:
            await trim_events(sessions, Retention.of(settings))
            await purge(sessions, signals, Purge.of(settings))
        except DATABASE_ERRORS as error:
            FAILURES.inc()
            log.warning("trimming_broke_off", error=type(error).__name__)


async def trim_events(sessions: Sessions, keep: Retention) -> int:
    """How many events went. Page by page, since the stream's lock holds up those who log in it."""
    async with sessions() as session:
        due = await _streams_to_trim(session, keep)
    gone = 0
    for stream_id in due:
        while trimmed := await _trim_page(sessions, stream_id, keep):
            gone += trimmed
            TRIMMED.inc(trimmed)
    if gone:
        log.info("events_trimmed", events=gone, streams=len(due))
    return gone


async def _streams_to_trim(session: AsyncSession, keep: Retention) -> Sequence[UUID]:
    """Those whose first event may go; one lookup a stream."""
    found = await session.scalars(
        select(StreamRow.id)
        .join(EventRow, (EventRow.stream_id == StreamRow.id) & (EventRow.offset == StreamRow.first_offset))
        .where(or_(_is_old(keep), StreamRow.last_offset - StreamRow.first_offset >= keep.most))
        .limit(_STREAMS_AT_ONCE)
    )
    return found.all()


async def _trim_page(sessions: Sessions, stream_id: UUID, keep: Retention) -> int:
    async with transaction(sessions) as session:
        if not await session.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended(_LOCK_KEY, 0)))):
            return 0
        head = await read_head(session, stream_id)
        last = await _last_to_go(session, stream_id, head, keep) if head else None
        if head is None or last is None:
            return 0
        await _forget_marks(session, stream_id, last)
        await session.execute(delete(EventRow).where(EventRow.stream_id == stream_id, EventRow.offset <= last))
        # Last: from here to the commit nobody can log in this stream.
        await session.execute(update(StreamRow).where(StreamRow.id == stream_id).values(first_offset=last + 1))
        return last - head.first_offset + 1


async def _last_to_go(session: AsyncSession, stream_id: UUID, head: Head, keep: Retention) -> int | None:
    """Of this page. What follows an event that stays, stays: times of several machines need not be in order."""
    found = await session.execute(
        select(EventRow.offset, _is_old(keep))
        .where(EventRow.stream_id == stream_id, EventRow.offset >= head.first_offset)
        .order_by(EventRow.offset)
        .limit(keep.page_size)
    )
    last = None
    for offset, is_old in found:
        if not is_old and offset > head.last_offset - keep.most:
            break
        last = offset
    return last


async def _forget_marks(session: AsyncSession, stream_id: UUID, last: int) -> None:
    """Members' marks on notifications that go. Only a workspace's stream has such."""
    members = select(MemberRow.id).where(MemberRow.workspace_id == stream_id)
    events = select(EventRow.event_id).where(EventRow.stream_id == stream_id, EventRow.offset <= last)
    await session.execute(
        delete(NotificationReadRow).where(
            NotificationReadRow.member_id.in_(members), NotificationReadRow.event_id.in_(events)
        )
    )


def _is_old(keep: Retention) -> ColumnElement[bool]:
    return EventRow.occurred_at < func.now() - literal(keep.age)
