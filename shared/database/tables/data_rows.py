"""Things to label, their content, and named sets of them."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class DataRowRow(Base):
    """`submitted` repeats the state of its review for the review queue's index."""

    __tablename__ = "data_rows"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    global_key: Mapped[str]
    metadata_: Mapped[Json] = mapped_column("metadata", server_default="{}")
    submitted: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("project_id", "global_key"),
        Index("ix_data_rows_project_id_id", "project_id", "id"),
        Index("ix_data_rows_open", "project_id", "id", postgresql_where=text("NOT submitted")),
    )


class DataRowContentRow(Base):
    """Where the content is, and what its first reader found out. Facts are written once.

    Image sizes are those of the EXIF-oriented image in pixels; `length` counts Unicode code points.
    """

    __tablename__ = "data_row_contents"

    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id", ondelete="CASCADE"), primary_key=True)
    workspace_id: Mapped[UUID]
    uri: Mapped[str | None]
    text: Mapped[str | None]
    mime_type: Mapped[str | None]
    sha256: Mapped[bytes | None]
    byte_size: Mapped[int | None] = mapped_column(BigInteger)
    width: Mapped[int | None]
    height: Mapped[int | None]
    length: Mapped[int | None]
    read_at: Mapped[Timestamp | None]

    __table_args__ = (
        CheckConstraint("(uri IS NULL) <> (text IS NULL)", name="one_source"),
        Index("ix_data_row_contents_uri", "uri", postgresql_using="hash"),
    )


class UnusedObjectRow(Base):
    """An upload that perhaps no data row names any more: a day later it is looked whether so, and then it goes.

    From `removing_at` on it counts as gone, and at `removed_at` it is. The row stays for another day, so that an upload
    of the same bytes that began before knows of it.
    """

    __tablename__ = "unused_objects"

    uri: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    noted_at: Mapped[Timestamp] = mapped_column(server_default=func.now())
    removing_at: Mapped[Timestamp | None]
    removed_at: Mapped[Timestamp | None]

    __table_args__ = (
        Index("ix_unused_objects_noted", "noted_at", postgresql_where=text("removing_at IS NULL")),
        Index(
            "ix_unused_objects_going",
            "removing_at",
            postgresql_where=text("removing_at IS NOT NULL AND removed_at IS NULL"),
        ),
        Index("ix_unused_objects_gone", "removed_at", postgresql_where=text("removed_at IS NOT NULL")),
    )


class BatchRow(Base):
    __tablename__ = "batches"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    priority: Mapped[int] = mapped_column(server_default="3")
    size: Mapped[int]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        Index("ix_batches_project_id_id", "project_id", "id"),
    )


class BatchDataRowRow(Base):
    """`submitted` as in row projections: a hint for the review queue's index."""

    __tablename__ = "batch_data_rows"

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True)
    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id", ondelete="CASCADE"), primary_key=True)
    workspace_id: Mapped[UUID]
    submitted: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        Index("ix_batch_data_rows_data_row_id", "data_row_id"),
        Index("ix_batch_data_rows_open", "batch_id", "data_row_id", postgresql_where=text("NOT submitted")),
    )
