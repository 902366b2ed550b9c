"""Where reviews and decisions that came in by an import were made."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261130_origins"
down_revision: str | None = "20261130_unused_objects"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("decisions", sa.Column("origin", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("data_row_reviews", sa.Column("origin", postgresql.JSONB(astext_type=sa.Text()), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("data_row_reviews", "origin")
    op.drop_column("decisions", "origin")
