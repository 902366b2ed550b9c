"""Which processes of Prelabel live. Nothing is decided by it: leases say who may write."""

from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id


class ProcessRow(Base):
    """Written by the process itself, every few seconds; `name` is `host:pid`. One that was killed leaves its row."""

    __tablename__ = "processes"

    id: Mapped[Id]
    service: Mapped[str]
    purpose: Mapped[str | None]
    name: Mapped[str]
    version: Mapped[str]
    started_at: Mapped[CreatedAt]
    heartbeat_at: Mapped[CreatedAt] = mapped_column(index=True)
