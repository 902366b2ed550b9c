"""What happens to webhooks. They are named in `EVENTS` like all others."""

from uuid import UUID

from shared.contracts.event import Event


class WebhookEvent(Event):
    subject_kind = "webhook"

    webhook_id: UUID


class WebhookTested(WebhookEvent):
    """Somebody asked for a test. It is delivered to that webhook alone, and lies in no stream."""

    type = "webhook.tested"


class WebhookSwitchedOff(WebhookEvent):
    """Its receiver failed for too long. Nothing is lost: it goes on where it stopped once it is switched on."""

    type = "webhook.switched_off"
    notifies = True

    reason: str
