"""What people did. No run, re-run, undo or import changes or deletes a row of these tables."""

from uuid import UUID

from sqlalchemy import Computed, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class DataRowReviewRow(Base):
    """`revision` rises with human work only and is the ETag of a data row's decisions.

    `state` is open or submitted. `seconds` is the time people say they spent on it, over all their requests.
    `origin` is set while it is as an import left it: who submitted it where it came from, when, and the seconds there.
    """

    __tablename__ = "data_row_reviews"

    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id"), primary_key=True)
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(index=True)
    revision: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[str] = mapped_column(server_default="open")
    reserved_by: Mapped[UUID | None]
    reserved_until: Mapped[Timestamp | None]
    seconds: Mapped[float | None]
    submitted_by: Mapped[UUID | None]
    submitted_at: Mapped[Timestamp | None]
    updated_at: Mapped[CreatedAt]
    origin: Mapped[Json | None]

    __table_args__ = (
        Index(
            "ix_data_row_reviews_reserved_by",
            "project_id",
            "reserved_by",
            postgresql_where=text("reserved_by IS NOT NULL"),
        ),
    )


class DecisionRow(Base):
    """Only added. `action` is accept, edit, reject, add, delete or undo.

    `shown` is a copy of the pre-label as the person saw it; `before` the label as it was, of an edit or a delete;
    `made` what became of it, where that is not what was shown; `difference` what an edit changed.

    A pre-label and a label have one decision that stands. A later one about the same `replaces` it, an undo `undoes`
    it and lets the one it had replaced stand again. `undone` says that a decision does not stand.
    `operation_id` names the bulk it belongs to, `policy_id` the policy that decided in place of a person. `model_class`
    and `confidence` repeat what was shown, so that measures need not read it.

    `origin` is set on those that came in by an import, of which `decided_by` is who imported: what it was called there,
    about which pre-label, who decided and when. They name no run, since it is none of this project's.
    """

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
    before: Mapped[Json | None]
    made: Mapped[Json | None]
    difference: Mapped[Json | None]
    label_id: Mapped[UUID | None]
    replaces: Mapped[UUID | None]
    undoes: Mapped[UUID | None]
    undone: Mapped[bool] = mapped_column(server_default=text("false"))
    revision: Mapped[int]
    operation_id: Mapped[UUID | None]
    policy_id: Mapped[UUID | None]
    model_class: Mapped[str | None] = mapped_column(Computed("shown ->> 'model_class'", persisted=True))
    confidence: Mapped[float | None] = mapped_column(
        Computed("(shown ->> 'confidence')::double precision", persisted=True)
    )
    decided_by: Mapped[UUID]
    decided_at: Mapped[CreatedAt]
    origin: Mapped[Json | None]

    __table_args__ = (
        Index("ix_decisions_data_row_id_id", "data_row_id", "id"),
        Index("ix_decisions_run", "model_run_id", "data_row_id"),
        Index(
            "ix_decisions_operation_id",
            "operation_id",
            "data_row_id",
            postgresql_where=text("operation_id IS NOT NULL"),
        ),
        Index("ix_decisions_policy_id", "policy_id", postgresql_where=text("policy_id IS NOT NULL")),
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
    """One object or answer a person settled. `provenance` is copied, so deleting a run never breaks a label.

    `provenance.source` is model_run, policy, hand or import. `decision_id` is the decision that made it what it is.
    `external_id` is what whoever imported it calls it, `extras` what only one exchange format knows, by its name.
    """

    __tablename__ = "labels"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID]
    data_row_id: Mapped[UUID] = mapped_column(ForeignKey("data_rows.id"))
    feature_schema_id: Mapped[UUID]
    annotation: Mapped[Json]
    classifications: Mapped[list[Json]] = mapped_column(server_default="[]")
    provenance: Mapped[Json]
    extras: Mapped[Json | None]
    external_id: Mapped[str | None]
    decision_id: Mapped[UUID | None]
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    deleted_at: Mapped[Timestamp | None]

    __table_args__ = (
        Index("ix_labels_project_id_id", "project_id", "id"),
        Index("ix_labels_data_row_id", "data_row_id"),
        Index(
            "uq_labels_external_id",
            "project_id",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
    )


class RunComparisonRow(Base):
    """How far runs agree about the data rows they share, as the alignments showed them when it was made.

    `state` is under_way or ready; the review queue uses the newest that is ready.
    """

    __tablename__ = "run_comparisons"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    model_run_ids: Mapped[list[UUID]]
    alignment_versions: Mapped[list[int]]
    state: Mapped[str] = mapped_column(server_default="under_way")
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]

    __table_args__ = (Index("ix_run_comparisons_project_id_id", "project_id", "id"),)


class RowDisagreementRow(Base):
    """0 where the compared runs show the same on a data row, 1 where nothing is common."""

    __tablename__ = "row_disagreements"

    comparison_id: Mapped[UUID] = mapped_column(ForeignKey("run_comparisons.id", ondelete="CASCADE"), primary_key=True)
    data_row_id: Mapped[UUID] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    disagreement: Mapped[float]
    submitted: Mapped[bool] = mapped_column(server_default=text("false"))

    __table_args__ = (
        Index(
            "ix_row_disagreements_queue",
            "comparison_id",
            "disagreement",
            "data_row_id",
            postgresql_where=text("NOT submitted"),
        ),
    )
