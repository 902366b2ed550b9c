"""From the log to deliveries: webhook by webhook and stream by stream, each from its own cursor."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier import metrics
from shared.database.engine import Sessions
from shared.database.tables import EventRow, StreamRow, WebhookCursorRow, WebhookDeliveryRow, WebhookRow
from shared.database.unit_of_work import transaction
from shared.ids import new_id
from shared.telemetry import logger

_PAGE = 200
_STREAMS_A_ROUND = 100

log = logger(__name__)

# A webhook with too many deliveries waiting is left out: what follows stays in the log, where it costs nothing.
_BEHIND = text("""
    SELECT w.id, s.id
    FROM webhooks w
    JOIN streams s ON s.workspace_id = w.workspace_id
    LEFT JOIN webhook_cursors c ON c.webhook_id = w.id AND c.stream_id = s.id
    WHERE w.state = 'active'
      AND (c.stream_id IS NULL AND s.last_offset > 0 OR s.last_offset > c.offset OR s.epoch <> c.epoch)
      AND (SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.state = 'pending') < :pending_max
    ORDER BY random()
    LIMIT :streams
""")


@dataclass(frozen=True, slots=True)
class _Logged:
    """A row of the log, as a delivery keeps it."""

    offset: int
    event_id: UUID
    type: str
    subject_id: UUID
    payload: str

    @property
    def is_of_a_project(self) -> bool:
        return json.loads(self.payload)["data"].get("project_id") is not None


class WebhookFeed:
    def __init__(self, sessions: Sessions, pending_max: int) -> None:
        self._sessions = sessions
        self._pending_max = pending_max

    async def follow(self) -> bool:
        """One page of every stream that some webhook has not been told of to its end. Whether there was any."""
        async with self._sessions() as session:
            found = await session.execute(_BEHIND, {"pending_max": self._pending_max, "streams": _STREAMS_A_ROUND})
            behind = [(webhook_id, stream_id) for webhook_id, stream_id in found]
        for webhook_id, stream_id in behind:
            async with transaction(self._sessions) as session:
                await _follow(session, webhook_id, stream_id)
        return bool(behind)


async def _follow(session: AsyncSession, webhook_id: UUID, stream_id: UUID) -> None:
    webhook = await session.scalar(
        select(WebhookRow)
        .where(WebhookRow.id == webhook_id, WebhookRow.state == "active")
        # Not deleted meanwhile, and nobody who changes it waits for this.
        .with_for_update(read=True, key_share=True)
    )
    if webhook is None:
        return
    stream = await session.scalar(
        select(StreamRow).where(StreamRow.id == stream_id, StreamRow.workspace_id == webhook.workspace_id)
    )
    if stream is None:
        return
    cursor = await _lock_cursor(session, webhook, stream)
    if cursor is None:
        return  # another notifier is at it
    if _is_lost(cursor, stream):
        metrics.WEBHOOK_HISTORY_LOST.inc()
        log.warning("webhook_history_lost", webhook_id=str(webhook_id), stream_id=str(stream_id))
    page = await _page(session, stream, cursor.offset)
    if page:
        cursor.offset = page[-1].offset
        await _deliver(session, webhook, stream, page)


async def _lock_cursor(session: AsyncSession, webhook: WebhookRow, stream: StreamRow) -> WebhookCursorRow | None:
    first = insert(WebhookCursorRow).values(
        webhook_id=webhook.id, stream_id=stream.id, workspace_id=webhook.workspace_id, epoch=stream.epoch, offset=0
    )
    await session.execute(first.on_conflict_do_nothing())
    return await session.scalar(
        select(WebhookCursorRow)
        .where(WebhookCursorRow.webhook_id == webhook.id, WebhookCursorRow.stream_id == stream.id)
        .with_for_update(skip_locked=True)
    )


def _is_lost(cursor: WebhookCursorRow, stream: StreamRow) -> bool:
    """Whether what the cursor stands at is gone; it then moves to where the stream can be followed from."""
    if cursor.epoch != stream.epoch:
        cursor.epoch, cursor.offset = stream.epoch, stream.last_offset
        return True
    if cursor.offset < stream.first_offset - 1:
        cursor.offset = stream.first_offset - 1
        return True
    return False


async def _page(session: AsyncSession, stream: StreamRow, after: int) -> list[_Logged]:
    found = await session.execute(
        select(EventRow.offset, EventRow.event_id, EventRow.type, EventRow.subject_id, EventRow.payload)
        .where(
            EventRow.stream_id == stream.id,
            EventRow.workspace_id == stream.workspace_id,
            EventRow.offset > after,
        )
        .order_by(EventRow.offset)
        .limit(_PAGE)
    )
    return [_Logged(*row) for row in found]


async def _deliver(session: AsyncSession, webhook: WebhookRow, stream: StreamRow, page: Sequence[_Logged]) -> None:
    wanted = [event for event in page if event.type in webhook.event_types]
    if stream.id == stream.workspace_id:
        # What notifies lies in the workspace's stream too. It is told once, in the order of its project.
        wanted = [event for event in wanted if not event.is_of_a_project]
    if not wanted:
        return
    rows = [
        {
            "id": new_id(),
            "workspace_id": webhook.workspace_id,
            "webhook_id": webhook.id,
            "stream_id": stream.id,
            "offset": event.offset,
            "event_id": event.event_id,
            "event_type": event.type,
            "subject_id": event.subject_id,
            "payload": event.payload,
            "next_attempt_at": func.now(),
        }
        for event in wanted
    ]
    await session.execute(insert(WebhookDeliveryRow).values(rows).on_conflict_do_nothing())
