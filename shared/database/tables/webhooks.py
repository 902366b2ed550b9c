"""Who outside is told of events, and how that went."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class WebhookRow(Base):
    """`secret` signs, so it is stored as it is; `previous_secret` signs beside it until its time is over.

    `failing_since`: of the first failure after the last success. The notifier writes that, and switches off.
    """

    __tablename__ = "webhooks"

    id: Mapped[Id]
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id"), index=True)
    url: Mapped[str]
    event_types: Mapped[list[str]]
    secret: Mapped[str]
    previous_secret: Mapped[str | None]
    previous_secret_until: Mapped[Timestamp | None]
    state: Mapped[str] = mapped_column(server_default="active")
    state_reason: Mapped[str | None]
    failing_since: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]


class WebhookCursorRow(Base):
    """How far the events of a stream have become deliveries of a webhook. A stream without one begins at its start."""

    __tablename__ = "webhook_cursors"

    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True)
    stream_id: Mapped[UUID] = mapped_column(ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True)
    workspace_id: Mapped[UUID]
    epoch: Mapped[UUID]
    offset: Mapped[int] = mapped_column(BigInteger)


class WebhookDeliveryRow(Base):
    """One event for one webhook. `payload` is a copy, since the log may be trimmed before the last attempt.

    `tries` are the latest attempts that came to an end; `attempts` counts those that were begun. One `on_demand` (a
    test, a redelivery) waits for no other, goes to a webhook that is off too, and is not repeated.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    stream_id: Mapped[UUID]
    offset: Mapped[int] = mapped_column(BigInteger)
    event_id: Mapped[UUID]
    event_type: Mapped[str]
    subject_id: Mapped[UUID]
    payload: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="pending")
    on_demand: Mapped[bool] = mapped_column(server_default=text("false"))
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[Timestamp | None]
    leased_until: Mapped[Timestamp | None]
    response_status: Mapped[int | None]
    detail: Mapped[str | None]
    tries: Mapped[list[Json]] = mapped_column(server_default="[]")
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[Timestamp | None]

    __table_args__ = (
        Index("uq_webhook_deliveries_event", "webhook_id", "event_id", unique=True),
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
        Index(
            "ix_webhook_deliveries_pending",
            "webhook_id",
            "subject_id",
            "offset",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_webhook_deliveries_finished_at", "finished_at", postgresql_where=text("state <> 'pending'")),
    )
