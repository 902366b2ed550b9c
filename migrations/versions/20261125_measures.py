"""Measures: withheld data rows, policies with their audits, and what decisions repeat of what was shown."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261125_measures"
down_revision: str | None = "20261125_traces"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_JSON = postgresql.JSONB(astext_type=sa.Text())


def _now(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("decisions", sa.Column("policy_id", sa.Uuid(), nullable=True))
    shown_class = sa.Computed("shown ->> 'model_class'", persisted=True)
    op.add_column("decisions", sa.Column("model_class", sa.Text(), shown_class, nullable=True))
    shown_confidence = sa.Computed("(shown ->> 'confidence')::double precision", persisted=True)
    op.add_column("decisions", sa.Column("confidence", sa.Float(53), shown_confidence, nullable=True))
    op.create_index(
        "ix_decisions_policy_id", "decisions", ["policy_id"], postgresql_where=sa.text("policy_id IS NOT NULL")
    )
    _withholding()
    _policies()


def _withholding() -> None:
    op.create_table(
        "withholdings",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("share", sa.Float(53), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        _now("created_at"),
        _now("updated_at"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_withholdings_project_id")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_withholdings")),
    )
    op.create_table(
        "withheld_rows",
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        _now("created_at"),
        sa.ForeignKeyConstraint(
            ["data_row_id"], ["data_rows.id"], name=op.f("fk_withheld_rows_data_row_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("data_row_id", name=op.f("pk_withheld_rows")),
    )
    op.create_index(op.f("ix_withheld_rows_project_id"), "withheld_rows", ["project_id"])
    op.create_table(
        "withheld_detections",
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("model_class", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("area", sa.Float(53), nullable=True),
        sa.Column("attributes", _JSON, nullable=True),
        sa.Column("annotation", _JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_run_id"], ["model_runs.id"], name=op.f("fk_withheld_detections_model_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_run_id", "data_row_id", "ordinal", name=op.f("pk_withheld_detections")),
    )


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("feature_schema_id", sa.Uuid(), nullable=False),
        sa.Column("option_id", sa.Uuid(), nullable=True),
        sa.Column("catalog_model_id", sa.Uuid(), nullable=True),
        sa.Column("threshold", sa.Float(53), nullable=False),
        sa.Column("target_precision", sa.Float(53), nullable=False),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("audit_share", sa.Float(53), nullable=False),
        sa.Column("window_audits", sa.Integer(), nullable=False),
        sa.Column("same_from", sa.Float(53), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("accepted", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        _now("created_at"),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_policies_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policies")),
    )
    op.create_index("ix_policies_project_id_id", "policies", ["project_id", "id"])
    op.create_table(
        "policy_audits",
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        _now("created_at"),
        sa.ForeignKeyConstraint(["policy_id"], ["policies.id"], name=op.f("fk_policy_audits_policy_id")),
        sa.PrimaryKeyConstraint("policy_id", "model_run_id", "data_row_id", "ordinal", name=op.f("pk_policy_audits")),
    )
    op.create_index("ix_policy_audits_data_row_id", "policy_audits", ["data_row_id"])


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in ("policy_audits", "policies", "withheld_detections", "withheld_rows", "withholdings"):
        op.drop_table(table)
    op.drop_index("ix_decisions_policy_id", table_name="decisions")
    for column in ("confidence", "model_class", "policy_id"):
        op.drop_column("decisions", column)
