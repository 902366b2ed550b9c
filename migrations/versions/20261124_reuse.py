"""Results are found again by their fingerprint in row_outcomes; the cache beside it was never filled."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261124_reuse"
down_revision: str | None = "20261124_waiting_for"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_WITH = "fingerprint IS NOT NULL"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("row_outcomes", sa.Column("reused_from_run_id", sa.Uuid(), nullable=True))
    op.add_column("row_outcomes", sa.Column("reused_from_row_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_row_outcomes_fingerprint",
        "row_outcomes",
        ["workspace_id", "fingerprint"],
        unique=False,
        postgresql_where=sa.text(_WITH),
    )
    op.add_column("catalog_models", sa.Column("processing", sa.Text(), nullable=True))
    op.drop_table("inference_cache")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "inference_cache",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("model_run_id", sa.Uuid(), nullable=False),
        sa.Column("data_row_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "fingerprint", name=op.f("pk_inference_cache")),
    )
    op.drop_column("catalog_models", "processing")
    op.drop_index("ix_row_outcomes_fingerprint", table_name="row_outcomes", postgresql_where=sa.text(_WITH))
    op.drop_column("row_outcomes", "reused_from_row_id")
    op.drop_column("row_outcomes", "reused_from_run_id")
