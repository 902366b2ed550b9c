"""The event log, and what is told to whom."""

from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp
from shared.ids import new_id


class StreamRow(Base):
    """One a project (its id is the project's) and one a workspace (its id is the workspace's).

    `epoch` changes only when history was lost; `first_offset` moves when history is trimmed.
    """

    __tablename__ = "streams"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID] = mapped_column(index=True)
    kind: Mapped[str]
    epoch: Mapped[UUID] = mapped_column(default=new_id)
    first_offset: Mapped[int] = mapped_column(BigInteger, server_default="1")
    last_offset: Mapped[int] = mapped_column(BigInteger, server_default="0")


class EventRow(Base):
    """`payload` is the event as JSON text, forwarded byte for byte."""

    __tablename__ = "events"

    stream_id: Mapped[UUID] = mapped_column(ForeignKey("streams.id"), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    workspace_id: Mapped[UUID]
    event_id: Mapped[UUID]
    type: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    payload: Mapped[str]
    occurred_at: Mapped[Timestamp]

    __table_args__ = (Index("ix_events_subject", "stream_id", "subject_id", "offset"),)


class NotificationReadRow(Base):
    __tablename__ = "notification_reads"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"), primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    read_at: Mapped[CreatedAt]


class OperationRow(Base):
    """Long work beside requests. A worker leases it and proves its right to write by `generation`.

    `attempts` are the times it was begun; more than a few without an end mean that it kills its workers.
    """

    __tablename__ = "operations"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID | None]
    kind: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="queued")
    parameters: Mapped[Json]
    progress: Mapped[Json] = mapped_column(server_default="{}")
    result: Mapped[Json | None]
    problem: Mapped[Json | None]
    holder: Mapped[str | None]
    generation: Mapped[int] = mapped_column(server_default="0")
    attempts: Mapped[int] = mapped_column(server_default="0")
    heartbeat_at: Mapped[Timestamp | None]
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]

    __table_args__ = (
        Index("ix_operations_workspace_id_id", "workspace_id", "id"),
        Index("ix_operations_unfinished", "kind", "id", postgresql_where=text("state IN ('queued', 'running')")),
    )
