"""Review: edits and their differences, undo, bulk, submitted rows, and what orders the review queue."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261125_review"
down_revision: str | None = "20261125_webhooks"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_JSON = postgresql.JSONB(astext_type=sa.Text())
_OPEN = sa.text("NOT submitted")
_SCORES = ("uncertainty", "margin", "entropy")
_FLAGGED = ("data_rows", "batch_data_rows", "row_projections")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    _decisions_and_labels()
    for table in _FLAGGED:
        op.add_column(table, sa.Column("submitted", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_data_rows_open", "data_rows", ["project_id", "id"], postgresql_where=_OPEN)
    op.create_index("ix_batch_data_rows_open", "batch_data_rows", ["batch_id", "data_row_id"], postgresql_where=_OPEN)
    for name in ("margin", "entropy"):
        op.add_column("row_projections", sa.Column(name, sa.Float(), server_default="0", nullable=False))
    for score in _SCORES:
        columns = ["model_run_id", "alignment_version", score, "data_row_id"]
        op.create_index(f"ix_row_projections_{score}", "row_projections", columns, postgresql_where=_OPEN)
    _comparisons()


def _decisions_and_labels() -> None:
    for name in ("before", "made", "difference"):
        op.add_column("decisions", sa.Column(name, _JSON, nullable=True))
    for name in ("replaces", "operation_id"):
        op.add_column("decisions", sa.Column(name, sa.Uuid(), nullable=True))
    op.create_index(
        "ix_decisions_operation_id",
        "decisions",
        ["operation_id", "data_row_id"],
        postgresql_where=sa.text("operation_id IS NOT NULL"),
    )
    op.add_column("labels", sa.Column("decision_id", sa.Uuid(), nullable=True))
    op.add_column(
        "labels", sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)
    )
    op.execute("UPDATE labels SET updated_at = created_at, decision_id = (provenance ->> 'decision_id')::uuid")
    op.add_column("data_row_reviews", sa.Column("seconds", sa.Float(), nullable=True))
    op.add_column("data_row_reviews", sa.Column("submitted_by", sa.Uuid(), nullable=True))
    op.add_column("data_row_reviews", sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_data_row_reviews_reserved_by",
        "data_row_reviews",
        ["project_id", "reserved_by"],
        postgresql_where=sa.text("reserved_by IS NOT NULL"),
    )


def _comparisons() -> None:
    op.create_table(
        "run_comparisons",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("model_run_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("alignment_versions", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("state", sa.Text(), server_default="under_way", nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_run_comparisons_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_comparisons")),
    )
    op.create_index("ix_run_comparisons_project_id_id", "run_comparisons", ["project_id", "id"])
    op.create_table(
        "row_disagreements",
        sa.Column("comparison_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("disagreement", sa.Float(), nullable=False),
        sa.Column("submitted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["comparison_id"], ["run_comparisons.id"], name=op.f("fk_row_disagreements_comparison_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("comparison_id", "data_row_id", name=op.f("pk_row_disagreements")),
    )
    op.create_index(
        "ix_row_disagreements_queue",
        "row_disagreements",
        ["comparison_id", "disagreement", "data_row_id"],
        postgresql_where=_OPEN,
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("row_disagreements")
    op.drop_table("run_comparisons")
    for score in _SCORES:
        op.drop_index(f"ix_row_projections_{score}", table_name="row_projections", postgresql_where=_OPEN)
    for name in ("margin", "entropy"):
        op.drop_column("row_projections", name)
    op.drop_index("ix_batch_data_rows_open", table_name="batch_data_rows", postgresql_where=_OPEN)
    op.drop_index("ix_data_rows_open", table_name="data_rows", postgresql_where=_OPEN)
    for table in _FLAGGED:
        op.drop_column(table, "submitted")
    op.drop_index("ix_data_row_reviews_reserved_by", table_name="data_row_reviews")
    for name in ("submitted_at", "submitted_by", "seconds"):
        op.drop_column("data_row_reviews", name)
    for name in ("updated_at", "decision_id"):
        op.drop_column("labels", name)
    op.drop_index("ix_decisions_operation_id", table_name="decisions")
    for name in ("operation_id", "replaces", "difference", "made", "before"):
        op.drop_column("decisions", name)
