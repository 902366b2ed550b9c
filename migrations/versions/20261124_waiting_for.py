"""What a run waits for while it does not move."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261124_waiting_for"
down_revision: str | None = "20261124_run_verbs"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("model_runs", sa.Column("waiting_for", sa.Text(), nullable=True))
    op.execute("UPDATE model_runs SET waiting_for = 'model' WHERE state = 'stalled'")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("model_runs", "waiting_for")
