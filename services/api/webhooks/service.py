"""Who outside is told of events. The notifier delivers; here it is said to whom, and what is to be sent again."""

import base64
import secrets
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.audit import audit
from services.api.access.principal import Principal
from services.api.settings import ApiSettings
from services.api.webhooks import queries
from services.api.webhooks.schemas import EVENT_TYPES, SecretRotation, WebhookCreate, WebhookUpdate
from shared.contracts.webhook_events import WebhookTested
from shared.database.event_log import envelope
from shared.database.tables import WebhookDeliveryRow, WebhookRow
from shared.database.unit_of_work import UnitOfWork
from shared.egress import HostRules
from shared.errors import Conflict, Problems
from shared.ids import new_id

_SECRET_BYTES = 32


async def create_webhook(
    work: UnitOfWork, principal: Principal, settings: ApiSettings, hosts: HostRules, wanted: WebhookCreate
) -> WebhookRow:
    """Raises Conflict when the workspace has as many as it may."""
    _check(wanted.url, wanted.event_types, hosts)
    if await queries.count_webhooks(work.session, principal.workspace_id) >= settings.max_webhooks:
        raise Conflict(f"a workspace may have {settings.max_webhooks} webhooks", code="too_many_webhooks")
    row = WebhookRow(
        id=new_id(),
        workspace_id=principal.workspace_id,
        url=wanted.url,
        event_types=sorted(set(wanted.event_types)),
        secret=_new_secret(),
    )
    work.session.add(row)
    await work.session.flush()
    await queries.begin_at_present(work.session, row)
    audit(work, principal, "webhook.created", row.id, event_types=row.event_types)
    await work.session.refresh(row)
    return row


async def update_webhook(
    work: UnitOfWork, principal: Principal, webhook_id: UUID, hosts: HostRules, changes: WebhookUpdate
) -> WebhookRow:
    row = await queries.lock_webhook(work.session, principal.workspace_id, webhook_id)
    given = changes.model_fields_set
    moves = "url" in given and changes.url != row.url
    turns = "state" in given and changes.state != row.state
    goes_on = turns and changes.state == "active"
    # The operator may have narrowed the hosts since: what stays as it is, is in nobody's way unless it is asked again.
    url = changes.url if "url" in given else row.url
    _check(url if "url" in given or goes_on else None, changes.event_types, hosts)
    row.url = url
    if "event_types" in given:
        row.event_types = sorted(set(changes.event_types))
    if turns:
        row.state, row.state_reason = changes.state, None
    if moves or turns:
        row.failing_since = None
    if moves or goes_on:
        await queries.try_what_waits(work.session, row)
    audit(work, principal, "webhook.updated", row.id, changed=sorted(given))
    return row


async def delete_webhook(work: UnitOfWork, principal: Principal, webhook_id: UUID) -> None:
    """With its deliveries."""
    row = await queries.lock_webhook(work.session, principal.workspace_id, webhook_id)
    await work.session.delete(row)
    audit(work, principal, "webhook.deleted", row.id)


async def rotate_webhook_secret(
    work: UnitOfWork, principal: Principal, webhook_id: UUID, wanted: SecretRotation
) -> WebhookRow:
    """A rotation within another's overlap ends that: two secrets sign at most."""
    row = await queries.lock_webhook(work.session, principal.workspace_id, webhook_id)
    row.previous_secret, row.previous_secret_until = None, None
    if wanted.overlap_seconds:
        now = (await work.session.execute(select(func.now()))).scalar_one()
        row.previous_secret = row.secret
        row.previous_secret_until = now + timedelta(seconds=wanted.overlap_seconds)
    row.secret = _new_secret()
    audit(work, principal, "webhook.secret_rotated", row.id, overlap_seconds=wanted.overlap_seconds)
    return row


async def test_webhook(work: UnitOfWork, principal: Principal, webhook_id: UUID) -> WebhookDeliveryRow:
    """Raises Conflict while another test waits."""
    webhook = await queries.lock_webhook(work.session, principal.workspace_id, webhook_id)
    if await queries.find_waiting_test(work.session, webhook) is not None:
        raise Conflict("a test of this webhook is still under way", code="test_under_way")
    event = WebhookTested(workspace_id=webhook.workspace_id, webhook_id=webhook.id)
    sealed = envelope(event, principal.actor)
    row = WebhookDeliveryRow(
        id=new_id(),
        workspace_id=webhook.workspace_id,
        webhook_id=webhook.id,
        stream_id=webhook.workspace_id,
        offset=0,
        event_id=sealed.id,
        event_type=sealed.type,
        subject_id=webhook.id,
        payload=sealed.model_dump_json(),
        on_demand=True,
        next_attempt_at=func.now(),
    )
    return await _stored(work.session, row)


async def redeliver(work: UnitOfWork, principal: Principal, webhook_id: UUID, delivery_id: UUID) -> WebhookDeliveryRow:
    """One that waits is only made due: it keeps its place behind earlier events of its subject."""
    webhook = await queries.lock_webhook(work.session, principal.workspace_id, webhook_id)
    row = await queries.lock_delivery(work.session, webhook, delivery_id)
    if row.state != "pending":
        row.state, row.on_demand, row.finished_at = "pending", True, None
    elif webhook.state == "off" and not row.on_demand:
        raise Conflict("it waits for the webhook, which is off; switch that on first", code="webhook_off")
    row.next_attempt_at = func.now()
    return await _stored(work.session, row)


async def _stored(session: AsyncSession, row: WebhookDeliveryRow) -> WebhookDeliveryRow:
    session.add(row)
    await session.flush()
    await session.refresh(row)
    return row


def _check(url: str | None, event_types: tuple[str, ...], hosts: HostRules) -> None:
    """Only what is sent, or used anew."""
    problems = Problems()
    if url is not None and not hosts.allows(url):
        problems.add("/url", "host_not_allowed", "a webhook needs an https:// URL of a host that may be asked")
    for place, event_type in enumerate(event_types):
        if event_type not in EVENT_TYPES:
            problems.add(f"/event_types/{place}", "unknown_event_type", "there is no such event")
    problems.raise_if_any("the webhook cannot be made like this")


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
