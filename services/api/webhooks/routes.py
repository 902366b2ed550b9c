"""Webhooks: who outside is told of events, and how each delivery went."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.api.dependencies import Admin, Paged, Reader, Settings, Work
from services.api.idempotency import IdempotentRoute, shown_once
from services.api.paging import by_id
from services.api.problems import problems
from services.api.webhooks import queries, service
from services.api.webhooks.schemas import (
    DeliveryState,
    SecretRotation,
    Webhook,
    WebhookCreate,
    WebhookDelivery,
    WebhookDeliveryWithEvent,
    WebhookUpdate,
    WebhookWithSecret,
)
from shared.contracts.http import Page
from shared.database.tables import WebhookRow
from shared.egress import webhook_hosts

router = APIRouter(prefix="/v1", tags=["webhooks"], route_class=IdempotentRoute)


@router.post("/webhooks", status_code=201, responses=problems(409), dependencies=[shown_once("secret")])
async def create_webhook(principal: Admin, work: Work, settings: Settings, wanted: WebhookCreate) -> WebhookWithSecret:
    """Tell a URL of events of these types from now on. The answer holds the secret that signs them, this once.

    Deliveries follow the Standard Webhooks scheme: `webhook-id`, `webhook-timestamp` and `webhook-signature` beside the
    event as websockets get it. Those of one run come in order; the same event may come twice, with the same id.
    """
    row = await service.create_webhook(work, principal, settings, webhook_hosts(settings), wanted)
    return _with_secret(row)


@router.get("/webhooks", responses=problems(400))
async def list_webhooks(principal: Admin, session: Reader, paging: Paged) -> Page[Webhook]:
    """The workspace's webhooks, oldest first."""
    rows = await queries.list_webhooks(session, principal.workspace_id, paging.after_id, paging.fetch)
    return paging.page([Webhook.from_row(row) for row in rows], by_id)


@router.get("/webhooks/{webhook_id}", responses=problems(404))
async def get_webhook(principal: Admin, session: Reader, webhook_id: UUID) -> Webhook:
    """One webhook."""
    return Webhook.from_row(await queries.get_webhook(session, principal.workspace_id, webhook_id))


@router.patch("/webhooks/{webhook_id}", responses=problems(404))
async def update_webhook(
    principal: Admin, work: Work, settings: Settings, webhook_id: UUID, changes: WebhookUpdate
) -> Webhook:
    """Change its URL or event types, or switch it off or on again: it then goes on with what it missed."""
    return Webhook.from_row(await service.update_webhook(work, principal, webhook_id, webhook_hosts(settings), changes))


@router.delete("/webhooks/{webhook_id}", status_code=204, responses=problems(404))
async def delete_webhook(principal: Admin, work: Work, webhook_id: UUID) -> None:
    """Delete it, with its deliveries."""
    await service.delete_webhook(work, principal, webhook_id)


@router.post(
    "/webhooks/{webhook_id}/rotate-secret",
    responses=problems(404),
    dependencies=[shown_once("secret")],
)
async def rotate_webhook_secret(
    principal: Admin, work: Work, webhook_id: UUID, wanted: SecretRotation
) -> WebhookWithSecret:
    """Sign with a new secret, and with the one before too until the overlap is over. The answer holds the new one."""
    return _with_secret(await service.rotate_webhook_secret(work, principal, webhook_id, wanted))


@router.post("/webhooks/{webhook_id}/test", status_code=202, responses=problems(404, 409))
async def test_webhook(principal: Admin, work: Work, webhook_id: UUID) -> WebhookDelivery:
    """Send it one `webhook.tested` event, even while it is off. The delivery shows what became of it."""
    return WebhookDelivery.from_row(await service.test_webhook(work, principal, webhook_id))


@router.get("/webhooks/{webhook_id}/deliveries", responses=problems(400, 404))
async def list_webhook_deliveries(
    principal: Admin,
    session: Reader,
    paging: Paged,
    webhook_id: UUID,
    state: Annotated[DeliveryState | None, Query()] = None,
) -> Page[WebhookDelivery]:
    """Deliveries with their attempts, newest first."""
    webhook = await queries.get_webhook(session, principal.workspace_id, webhook_id)
    rows = await queries.list_deliveries(session, webhook, state, paging.after_id, paging.fetch)
    return paging.page([WebhookDelivery.from_row(row) for row in rows], by_id)


@router.get("/webhooks/{webhook_id}/deliveries/{delivery_id}", responses=problems(404))
async def get_webhook_delivery(
    principal: Admin, session: Reader, webhook_id: UUID, delivery_id: UUID
) -> WebhookDeliveryWithEvent:
    """One delivery, with the event."""
    webhook = await queries.get_webhook(session, principal.workspace_id, webhook_id)
    return WebhookDeliveryWithEvent.of(await queries.get_delivery(session, webhook, delivery_id))


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", status_code=202, responses=problems(404, 409))
async def redeliver_webhook_delivery(
    principal: Admin, work: Work, webhook_id: UUID, delivery_id: UUID
) -> WebhookDelivery:
    """Send the event again, with the same id. One that still waits is tried at once, if its turn has come."""
    return WebhookDelivery.from_row(await service.redeliver(work, principal, webhook_id, delivery_id))


def _with_secret(row: WebhookRow) -> WebhookWithSecret:
    return WebhookWithSecret(**Webhook.from_row(row).model_dump(), secret=row.secret)
