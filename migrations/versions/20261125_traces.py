"""The trace a run belongs to. Null for every run so far, and while traces are off."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261125_traces"
down_revision: str | None = "20261125_review"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("model_runs", sa.Column("traceparent", sa.Text(), nullable=True))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("model_runs", "traceparent")
