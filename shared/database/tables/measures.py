"""What measures people's work apart from what a model says: rows without pre-labels, and policies that are audited."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class WithholdingRow(Base):
    """The share of a project's data rows that get no pre-labels. `seed` draws them and is shown to nobody."""

    __tablename__ = "withholdings"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    workspace_id: Mapped[UUID]
    share: Mapped[float]
    seed: Mapped[bytes] = mapped_column(LargeBinary)
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class WithheldRowRow(Base):
    """A data row that was drawn. It stays so for good: whatever a model says of it goes to `withheld_detections`."""

    __tablename__ = "withheld_rows"

    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id", ondelete="CASCADE"), primary_key=True)
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(index=True)
    created_at: Mapped[CreatedAt]


class WithheldDetectionRow(Base):
    """As `detections`. Nothing shows them: they are for measuring what a model would have said."""

    __tablename__ = "withheld_detections"

    model_run_id: Mapped[UUID] = mapped_column(ForeignKey("model_runs.id", ondelete="CASCADE"), primary_key=True)
    data_row_id: Mapped[UUID] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    model_class: Mapped[str]
    confidence: Mapped[float]
    area: Mapped[float | None]
    attributes: Mapped[Json | None]
    annotation: Mapped[Json]


class PolicyRow(Base):
    """Accept a class at a confidence or more, as long as audits show that it may. `seed` draws the audits.

    `state` is active, stopped (by the rule) or withdrawn (by a person); the two last are for good.
    """

    __tablename__ = "policies"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    feature_schema_id: Mapped[UUID]
    option_id: Mapped[UUID | None]
    catalog_model_id: Mapped[UUID | None]
    threshold: Mapped[float]
    target_precision: Mapped[float]
    confidence: Mapped[float]
    audit_share: Mapped[float]
    window_audits: Mapped[int]
    same_from: Mapped[float]
    seed: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(server_default="active")
    state_reason: Mapped[str | None]
    accepted: Mapped[int] = mapped_column(server_default="0")
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[Timestamp | None]

    __table_args__ = (Index("ix_policies_project_id_id", "project_id", "id"),)


class PolicyAuditRow(Base):
    """A pre-label the policy would have accepted, left to people, who are not told.

    `decision_id` is the judgement of a person that stands, and `is_right` what it says; null while there is none.
    """

    __tablename__ = "policy_audits"

    policy_id: Mapped[UUID] = mapped_column(ForeignKey("policies.id"), primary_key=True)
    model_run_id: Mapped[UUID] = mapped_column(primary_key=True)
    data_row_id: Mapped[UUID] = mapped_column(primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    decision_id: Mapped[UUID | None]
    is_right: Mapped[bool | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        Index("ix_policy_audits_data_row_id", "data_row_id"),
        Index("ix_policy_audits_judged", "policy_id", "decision_id", postgresql_where=text("decision_id IS NOT NULL")),
    )
