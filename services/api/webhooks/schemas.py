"""Webhooks and their deliveries as HTTP takes and shows them."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.envelope import Envelope
from shared.contracts.events import EVENTS
from shared.database.tables import WebhookDeliveryRow, WebhookRow

EVENT_TYPES = frozenset(event.type for event in EVENTS if event.type != "webhook.tested")
"""What can be subscribed to. A test goes to its webhook whatever that wants."""

WebhookState = Literal["active", "off"]
DeliveryState = Literal["pending", "delivered", "failed"]

_Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        description="https://; the address behind the name has to be a public one, unless the operator allows others",
    ),
]
_EventTypes = Annotated[
    tuple[Annotated[str, Field(max_length=100, json_schema_extra={"enum": sorted(EVENT_TYPES)})], ...],
    Field(min_length=1, max_length=200),
]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class WebhookCreate(_Sent):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://hooks.example.org/prelabel",
                    "event_types": ["model_run.completed", "model_run.completed_with_errors", "model_run.failed"],
                }
            ]
        }
    )

    url: _Url
    event_types: _EventTypes


class WebhookUpdate(_Sent):
    """A merge patch: what is left out stays. One that is switched on again goes on where it stopped.

    That, and another URL, tries at once what waits.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "active"}]})

    url: _Url = ""
    event_types: _EventTypes = ()
    state: WebhookState = "active"


class SecretRotation(_Sent):
    model_config = ConfigDict(json_schema_extra={"examples": [{"overlap_seconds": 86_400}]})

    overlap_seconds: int = Field(
        default=86_400, ge=0, le=604_800, description="how long deliveries are signed with the secret before too"
    )


class Webhook(BaseModel):
    """`failing_since`: of the first failed attempt after the last that succeeded."""

    id: UUID
    url: str
    event_types: list[str]
    state: WebhookState
    state_reason: str | None = Field(description="why it was switched off, if that was not asked for")
    failing_since: datetime | None
    previous_secret_until: datetime | None = Field(description="until when the secret before signs too")
    created_at: datetime

    @classmethod
    def from_row(cls, row: WebhookRow) -> Self:
        return cls.model_validate(row, from_attributes=True)


class WebhookWithSecret(Webhook):
    secret: str | None = Field(
        description="signs the deliveries, shown this once; null in the replay of an `Idempotency-Key`",
        examples=["whsec_…"],
    )


class WebhookTry(BaseModel):
    """One attempt that came to an end; `status` is null when there was no answer."""

    at: datetime
    status: int | None
    detail: str | None
    milliseconds: int


class WebhookDelivery(BaseModel):
    """One event for one webhook. `event_id` is sent as `webhook-id` and is the same in every attempt."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    state: DeliveryState
    on_demand: bool = Field(description="a test or a redelivery: one attempt, which waits for no other delivery")
    attempts: int = Field(description="those begun; one that a stopped notifier had under way is among them")
    next_attempt_at: datetime | None = Field(
        description="null when it has ended; one whose turn has not come waits for an earlier event of the same subject"
    )
    response_status: int | None = Field(description="what the receiver answered last")
    detail: str | None = Field(description="why the last attempt failed")
    tries: list[WebhookTry] = Field(description="the latest attempts, at most 20, oldest first")
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def from_row(cls, row: WebhookDeliveryRow) -> Self:
        return cls.model_validate(row, from_attributes=True)


class WebhookDeliveryWithEvent(WebhookDelivery):
    event: Envelope

    @classmethod
    def of(cls, row: WebhookDeliveryRow) -> Self:
        shown = WebhookDelivery.from_row(row).model_dump()
        return cls(**shown, event=Envelope.model_validate_json(row.payload))
