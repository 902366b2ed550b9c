"""Webhooks: what is read and written, always of one workspace."""

from uuid import UUID

from sqlalchemy import Select, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.webhooks.schemas import DeliveryState
from shared.database.tables import StreamRow, WebhookCursorRow, WebhookDeliveryRow, WebhookRow, WorkspaceRow
from shared.errors import NotFound


async def list_webhooks(session: AsyncSession, workspace_id: UUID, after: UUID | None, limit: int) -> list[WebhookRow]:
    wanted = select(WebhookRow).where(WebhookRow.workspace_id == workspace_id)
    if after is not None:
        wanted = wanted.where(WebhookRow.id > after)
    return list(await session.scalars(wanted.order_by(WebhookRow.id).limit(limit)))


async def get_webhook(session: AsyncSession, workspace_id: UUID, webhook_id: UUID) -> WebhookRow:
    """Raises NotFound for one of another workspace."""
    row = await session.scalar(_webhook(workspace_id, webhook_id))
    if row is None:
        raise NotFound()
    return row


async def lock_webhook(session: AsyncSession, workspace_id: UUID, webhook_id: UUID) -> WebhookRow:
    """Raises NotFound. Events become deliveries meanwhile, and attempts wait with what they have to store."""
    row = await session.scalar(_webhook(workspace_id, webhook_id).with_for_update(key_share=True))
    if row is None:
        raise NotFound()
    return row


async def count_webhooks(session: AsyncSession, workspace_id: UUID) -> int:
    """With the workspace locked until the end, so that two requests cannot both add the last one."""
    await session.execute(
        select(WorkspaceRow.id).where(WorkspaceRow.id == workspace_id).with_for_update(key_share=True)
    )
    found = await session.scalar(select(func.count()).where(WebhookRow.workspace_id == workspace_id))
    return found or 0


async def begin_at_present(session: AsyncSession, webhook: WebhookRow) -> None:
    """It is told of what happens from now on; streams that do not exist yet, from their start."""
    present = select(
        literal(webhook.id),
        StreamRow.id,
        StreamRow.workspace_id,
        StreamRow.epoch,
        StreamRow.last_offset,
    ).where(StreamRow.workspace_id == webhook.workspace_id)
    await session.execute(
        insert(WebhookCursorRow).from_select(["webhook_id", "stream_id", "workspace_id", "epoch", "offset"], present)
    )


async def try_what_waits(session: AsyncSession, webhook: WebhookRow) -> None:
    await session.execute(
        update(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.webhook_id == webhook.id, WebhookDeliveryRow.state == "pending")
        .values(next_attempt_at=func.now())
    )


async def list_deliveries(
    session: AsyncSession, webhook: WebhookRow, state: DeliveryState | None, before: UUID | None, limit: int
) -> list[WebhookDeliveryRow]:
    """Newest first."""
    wanted = select(WebhookDeliveryRow).where(
        WebhookDeliveryRow.webhook_id == webhook.id, WebhookDeliveryRow.workspace_id == webhook.workspace_id
    )
    if state is not None:
        wanted = wanted.where(WebhookDeliveryRow.state == state)
    if before is not None:
        wanted = wanted.where(WebhookDeliveryRow.id < before)
    return list(await session.scalars(wanted.order_by(WebhookDeliveryRow.id.desc()).limit(limit)))


async def get_delivery(session: AsyncSession, webhook: WebhookRow, delivery_id: UUID) -> WebhookDeliveryRow:
    """Raises NotFound for one of another webhook."""
    row = await session.scalar(_delivery(webhook, delivery_id))
    if row is None:
        raise NotFound()
    return row


async def lock_delivery(session: AsyncSession, webhook: WebhookRow, delivery_id: UUID) -> WebhookDeliveryRow:
    """Of a webhook that is locked. Raises NotFound, too when it is purged in this moment."""
    row = await session.scalar(_delivery(webhook, delivery_id).with_for_update())
    if row is None:
        raise NotFound()
    return row


async def find_waiting_test(session: AsyncSession, webhook: WebhookRow) -> UUID | None:
    return await session.scalar(
        select(WebhookDeliveryRow.id).where(
            WebhookDeliveryRow.webhook_id == webhook.id,
            WebhookDeliveryRow.workspace_id == webhook.workspace_id,
            WebhookDeliveryRow.subject_id == webhook.id,
            WebhookDeliveryRow.event_type == "webhook.tested",
            WebhookDeliveryRow.state == "pending",
        )
    )


def _webhook(workspace_id: UUID, webhook_id: UUID) -> Select[WebhookRow]:
    return select(WebhookRow).where(WebhookRow.workspace_id == workspace_id, WebhookRow.id == webhook_id)


def _delivery(webhook: WebhookRow, delivery_id: UUID) -> Select[WebhookDeliveryRow]:
    return select(WebhookDeliveryRow).where(
        WebhookDeliveryRow.webhook_id == webhook.id,
        WebhookDeliveryRow.workspace_id == webhook.workspace_id,
        WebhookDeliveryRow.id == delivery_id,
    )
