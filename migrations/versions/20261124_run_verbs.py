"""Retries carry the attempts of earlier executions; a run may be undone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261124_run_verbs"
down_revision: str | None = "20261124_own_models"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("segments", sa.Column("earlier_attempts", postgresql.ARRAY(sa.Integer()), nullable=True))
    op.add_column("model_runs", sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("model_runs", "undone_at")
    op.drop_column("segments", "earlier_attempts")
