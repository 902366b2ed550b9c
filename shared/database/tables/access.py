"""Tenancy: who may do what in which workspace."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, and_, func, or_
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class WorkspaceRow(Base):
    __tablename__ = "workspaces"

    id: Mapped[Id]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class MemberRow(Base):
    __tablename__ = "members"

    id: Mapped[Id]
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id"), index=True)
    name: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[CreatedAt]
    disabled_at: Mapped[Timestamp | None]


class ApiKeyRow(Base):
    """The secret itself is shown once and never stored."""

    __tablename__ = "api_keys"

    id: Mapped[Id]
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id"), index=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id"), index=True)
    name: Mapped[str]
    secret_sha256: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[Timestamp | None]
    expires_at: Mapped[Timestamp | None]
    revoked_at: Mapped[Timestamp | None]


KEY_SERVES = and_(
    ApiKeyRow.revoked_at.is_(None),
    or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > func.now()),
    MemberRow.disabled_at.is_(None),
)
"""Whether a key, joined with its member, may be used now; by the database's clock."""


class AuditRow(Base):
    """Who changed access and keys. Rows are only added."""

    __tablename__ = "audit_log"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    actor: Mapped[str]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID]
    detail: Mapped[Json]
    occurred_at: Mapped[CreatedAt]

    __table_args__ = (Index("ix_audit_log_workspace_id_id", "workspace_id", "id"),)


class IdempotencyKeyRow(Base):
    """The answer to a POST, kept for a day and stored in the transaction of its effect."""

    __tablename__ = "idempotency_keys"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_sha256: Mapped[bytes]
    status: Mapped[int]
    headers: Mapped[Json]
    body: Mapped[bytes]
    created_at: Mapped[CreatedAt] = mapped_column(index=True)


class WebsocketTicketRow(Base):
    """Deleted when it is used; a ticket serves once."""

    __tablename__ = "websocket_tickets"

    ticket_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    member_id: Mapped[UUID]
    api_key_id: Mapped[UUID]
    role: Mapped[str]
    expires_at: Mapped[Timestamp] = mapped_column(index=True)
