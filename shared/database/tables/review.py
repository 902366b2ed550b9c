"""What people did. No run, re-run, undo or import changes or deletes a row of these tables."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class DataRowReviewRow(Base):
    """`revision` rises with human work only and is the ETag of a data row's decisions."""

    __tablename__ = "data_row_reviews"

    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id"), primary_key=True)
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(index=True)
    revision: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[str] = mapped_column(server_default="open")
    reserved_by: Mapped[UUID | None]
    reserved_until: Mapped[Timestamp | None]
    updated_at: Mapped[CreatedAt]


class DecisionRow(Base):
    """Only added. `shown` is a copy of the pre-label as the person saw it."""

    __tablename__ = "decisions"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID]
    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id"))
    action: Mapped[str]
    model_run_id: Mapped[UUID | None]
    ordinal: Mapped[int | None]
    feature_schema_id: Mapped[UUID]
    option_id: Mapped[UUID | None]
    shown: Mapped[Json | None]
    label_id: Mapped[UUID | None]
    undoes: Mapped[UUID | None]
    undone: Mapped[bool] = mapped_column(server_default=text("false"))
    revision: Mapped[int]
    decided_by: Mapped[UUID]
    decided_at: Mapped[CreatedAt]

    __table_args__ = (
        Index("ix_decisions_data_row_id_id", "data_row_id", "id"),
        Index("ix_decisions_run", "model_run_id", "data_row_id"),
        # A detection decided for one target is not decided again until that decision is undone.
        Index(
            "uq_decisions_pre_label",
            "model_run_id",
            "data_row_id",
            "ordinal",
            "feature_schema_id",
            unique=True,
            postgresql_where=text("model_run_id IS NOT NULL AND NOT undone"),
        ),
    )


class LabelRow(Base):
    """One object or answer a person settled. `provenance` is copied, so deleting a run never breaks a label."""

    __tablename__ = "labels"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID]
    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id"))
    feature_schema_id: Mapped[UUID]
    annotation: Mapped[Json]
    classifications: Mapped[list[Json]] = mapped_column(server_default="[]")
    provenance: Mapped[Json]
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]
    deleted_at: Mapped[Timestamp | None]

    __table_args__ = (
        Index("ix_labels_project_id_id", "project_id", "id"),
        Index("ix_labels_data_row_id", "data_row_id"),
    )
