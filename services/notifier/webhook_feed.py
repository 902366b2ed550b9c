"""From the log to deliveries: webhook by webhook and stream by stream, each from its own cursor."""

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import BigInteger, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier import metrics
from shared.database.engine import Sessions
from shared.database.event_log import LoggedEvent, read_events, read_head
from shared.database.tables import StreamRow, WebhookCursorRow, WebhookDeliveryRow, WebhookRow
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
    cursor = await _lock_cursor(session, webhook, stream_id)
    if cursor is None:
        return  # another notifier is at it, or there is no such stream any more
    page = await _read_on(session, cursor)
    if page:
        cursor.offset = page[-1].offset
        await _deliver(session, webhook, stream_id, page)


async def _lock_cursor(session: AsyncSession, webhook: WebhookRow, stream_id: UUID) -> WebhookCursorRow | None:
    """Made at the start of the stream, if there is none."""
    first = select(
        literal(webhook.id), StreamRow.id, StreamRow.workspace_id, StreamRow.epoch, literal(0, BigInteger)
    ).where(StreamRow.id == stream_id, StreamRow.workspace_id == webhook.workspace_id)
    names = ["webhook_id", "stream_id", "workspace_id", "epoch", "offset"]
    await session.execute(insert(WebhookCursorRow).from_select(names, first).on_conflict_do_nothing())
    return await session.scalar(
        select(WebhookCursorRow)
        .where(
            WebhookCursorRow.webhook_id == webhook.id,
            WebhookCursorRow.stream_id == stream_id,
            WebhookCursorRow.workspace_id == webhook.workspace_id,
        )
        .with_for_update(skip_locked=True)
    )


async def _read_on(session: AsyncSession, cursor: WebhookCursorRow) -> Sequence[LoggedEvent]:
    """From the locked cursor; what is gone from the log is counted as lost and passed over."""
    head = await read_head(session, cursor.stream_id)
    if head is None:
        return []
    lost = not head.reaches(cursor.epoch, cursor.offset)
    if lost:
        # In another epoch no place is known, and all from its start would be news of long ago.
        nearest = min(max(cursor.offset, head.first_offset - 1), head.last_offset)
        cursor.offset = nearest if cursor.epoch == head.epoch else head.last_offset
        cursor.epoch = head.epoch
    page = await read_events(session, cursor.stream_id, cursor.offset, _PAGE)
    # The log may be trimmed between the two looks at it.
    if lost or (page and page[0].offset != cursor.offset + 1):
        metrics.WEBHOOK_HISTORY_LOST.inc()
        log.warning("webhook_history_lost", webhook_id=str(cursor.webhook_id), stream_id=str(cursor.stream_id))
    return page


async def _deliver(session: AsyncSession, webhook: WebhookRow, stream_id: UUID, page: Sequence[LoggedEvent]) -> None:
    wanted = [event for event in page if event.type in webhook.event_types]
    if stream_id == webhook.workspace_id:
        # What notifies lies in the workspace's stream too. It is told once, in the order of its project.
        wanted = [event for event in wanted if not _is_of_a_project(event)]
    if not wanted:
        return
    rows = [
        {
            "id": new_id(),
            "workspace_id": webhook.workspace_id,
            "webhook_id": webhook.id,
            "stream_id": stream_id,
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


def _is_of_a_project(event: LoggedEvent) -> bool:
    return json.loads(event.payload)["data"].get("project_id") is not None
