"""What a projection keeps for the sake of decisions, and the review it was made with."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261124_kept_projections"
down_revision: str | None = "5b1d0c7e93a4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("row_projections", sa.Column("kept", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("row_projections", sa.Column("review_revision", sa.Integer(), server_default="0", nullable=False))
    op.create_index(
        "ix_row_projections_kept",
        "row_projections",
        ["model_run_id", "alignment_version"],
        unique=False,
        postgresql_where=sa.text("kept IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(
        "ix_row_projections_kept", table_name="row_projections", postgresql_where=sa.text("kept IS NOT NULL")
    )
    op.drop_column("row_projections", "review_revision")
    op.drop_column("row_projections", "kept")
