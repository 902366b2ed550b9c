"""Whose turn it is, and what became of an attempt. A claim is a lease: what a killed notifier held is tried again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import uniform
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier import metrics
from services.notifier.webhook_post import Answer, Message
from shared.contracts.webhook_events import WebhookSwitchedOff
from shared.database.engine import Sessions
from shared.database.tables import WebhookDeliveryRow, WebhookRow
from shared.database.unit_of_work import UnitOfWork, transaction, unit_of_work
from shared.signals import Signals

_TRIES_KEPT = 20
_PURGED_AT_ONCE = 500
_JITTER = (1.0, 1.1)

# A later event of a subject (a run) waits until the earlier one has ended; what somebody asked for waits for none.
_CLAIM = text("""
    WITH due AS (
        SELECT turn.id
        FROM webhooks w
        LEFT JOIN unnest(CAST(:busy AS uuid[]), CAST(:counts AS int[])) AS busy(webhook_id, count)
            ON busy.webhook_id = w.id
        CROSS JOIN LATERAL (
            SELECT d.id
            FROM webhook_deliveries d
            WHERE d.webhook_id = w.id AND d.state = 'pending'
              AND d.next_attempt_at <= now() AND (d.leased_until IS NULL OR d.leased_until < now())
              AND (d.on_demand OR w.state = 'active' AND NOT EXISTS (
                SELECT 1 FROM webhook_deliveries earlier
                WHERE earlier.webhook_id = d.webhook_id AND earlier.subject_id = d.subject_id
                  AND earlier.state = 'pending' AND NOT earlier.on_demand AND earlier."offset" < d."offset"))
            ORDER BY d.next_attempt_at, d.id
            LIMIT greatest(:lanes - coalesce(busy.count, 0), 0)
            FOR UPDATE SKIP LOCKED
        ) AS turn
        ORDER BY random()
        LIMIT :places
    )
    UPDATE webhook_deliveries d
    SET attempts = d.attempts + 1, leased_until = now() + make_interval(secs => :lease)
    FROM due, webhooks w
    WHERE d.id = due.id AND w.id = d.webhook_id
    RETURNING d.id, d.webhook_id, d.attempts, d.event_id, d.payload, w.url, w.secret,
        CASE WHEN w.previous_secret_until > now() THEN w.previous_secret END
""")
_PURGE = text("""
    DELETE FROM webhook_deliveries WHERE id IN (
        SELECT id FROM webhook_deliveries
        WHERE state <> 'pending' AND finished_at < now() - make_interval(secs => :kept)
        LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING id
""")


@dataclass(frozen=True, slots=True)
class Patience:
    """`retry_seconds`: pauses before the second, third, … attempt. The lease outlasts every attempt."""

    retry_seconds: tuple[float, ...]
    off_after_seconds: float
    lease_seconds: float
    kept_seconds: float


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make attempt number `attempt`."""

    delivery_id: UUID
    webhook_id: UUID
    attempt: int
    message: Message


class WebhookDeliveries:
    def __init__(self, sessions: Sessions, signals: Signals, patience: Patience) -> None:
        self._sessions = sessions
        self._signals = signals
        self._patience = patience

    async def claim(self, in_flight: Mapping[UUID, int], lanes: int, places: int) -> list[Claim]:
        """Up to `places` deliveries whose time has come, and of one webhook no more than its free lanes."""
        wanted = {
            "busy": list(in_flight),
            "counts": list(in_flight.values()),
            "lanes": lanes,
            "places": places,
            "lease": self._patience.lease_seconds,
        }
        async with transaction(self._sessions) as session:
            found = (await session.execute(_CLAIM, wanted)).all()
        return [
            Claim(
                delivery_id,
                webhook_id,
                attempt,
                Message(url, (secret, *([before] if before else [])), event_id, payload),
            )
            for delivery_id, webhook_id, attempt, event_id, payload, url, secret, before in found
        ]

    async def settle(self, claim: Claim, answer: Answer) -> None:
        """Store what became of the attempt. Nothing is stored when the lease was lost or the webhook deleted."""
        async with unit_of_work(self._sessions, self._signals, "service:notifier") as work:
            # The webhook first, as in its deletion.
            webhook = await work.session.scalar(
                select(WebhookRow).where(WebhookRow.id == claim.webhook_id).with_for_update(key_share=True)
            )
            delivery = await work.session.scalar(
                select(WebhookDeliveryRow)
                .where(
                    WebhookDeliveryRow.id == claim.delivery_id,
                    WebhookDeliveryRow.state == "pending",
                    WebhookDeliveryRow.attempts == claim.attempt,
                )
                .with_for_update()
            )
            if webhook is None or delivery is None:
                return
            now = await _now(work.session)
            _note(delivery, answer)
            if answer.is_success:
                delivery.state, delivery.finished_at, delivery.next_attempt_at = "delivered", now, None
                webhook.failing_since = None
            else:
                self._put_off(delivery, answer, now)
                self._count_failure(work, webhook, delivery, (answer, now))
            metrics.WEBHOOK_ATTEMPTS.labels(_OUTCOMES[delivery.state]).inc()

    async def purge(self) -> None:
        """What ended long ago; one transaction a page."""
        while await self._purge_page() == _PURGED_AT_ONCE:
            pass

    async def _purge_page(self) -> int:
        async with transaction(self._sessions) as session:
            gone = await session.execute(_PURGE, {"kept": self._patience.kept_seconds, "limit": _PURGED_AT_ONCE})
            return len(gone.all())

    def _put_off(self, delivery: WebhookDeliveryRow, answer: Answer, now: datetime) -> None:
        pauses = self._patience.retry_seconds
        if delivery.on_demand or delivery.attempts > len(pauses):
            delivery.state, delivery.finished_at, delivery.next_attempt_at = "failed", now, None
            return
        # Apart a little, so that all that failed in one moment does not come back in one.
        pause = max(pauses[delivery.attempts - 1] * uniform(*_JITTER), answer.retry_after_seconds)
        delivery.next_attempt_at = now + timedelta(seconds=pause)

    def _is_hopeless(self, delivery: WebhookDeliveryRow, now: datetime) -> bool:
        """Not the first trouble with an event after quiet days: it has failed for good, or waited for as long."""
        waited = (now - delivery.created_at).total_seconds()
        return delivery.state == "failed" or waited >= self._patience.off_after_seconds

    def _count_failure(
        self, work: UnitOfWork, webhook: WebhookRow, delivery: WebhookDeliveryRow, failure: tuple[Answer, datetime]
    ) -> None:
        answer, now = failure
        if delivery.on_demand or webhook.state != "active":
            return
        webhook.failing_since = webhook.failing_since or now
        failing_seconds = (now - webhook.failing_since).total_seconds()
        if answer.is_gone:
            webhook.state_reason = "the receiver answered 410: it is gone for good"
        elif failing_seconds >= self._patience.off_after_seconds and self._is_hopeless(delivery, now):
            webhook.state_reason = (
                f"no attempt succeeded for {failing_seconds / 3600:.1f} hours; the last: {answer.detail}"
            )
        else:
            return
        webhook.state = "off"
        work.emit(
            WebhookSwitchedOff(workspace_id=webhook.workspace_id, webhook_id=webhook.id, reason=webhook.state_reason)
        )
        metrics.WEBHOOKS_SWITCHED_OFF.inc()


_OUTCOMES = {"delivered": "delivered", "pending": "retried", "failed": "failed"}


def _note(delivery: WebhookDeliveryRow, answer: Answer) -> None:
    delivery.leased_until = None
    delivery.response_status, delivery.detail = answer.status, answer.detail
    done = {
        "at": datetime.now(UTC).isoformat(),
        "status": answer.status,
        "detail": answer.detail,
        "milliseconds": round(answer.seconds * 1000),
    }
    delivery.tries = [*delivery.tries, done][-_TRIES_KEPT:]


async def _now(session: AsyncSession) -> datetime:
    """By the database's clock, as all times that are compared."""
    found: datetime = (await session.execute(select(func.now()))).scalar_one()
    return found
