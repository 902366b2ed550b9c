"""What workers store of a run no longer has a key that points at the run.

A worker stores only under the lock of its segment, which has such a key: the run is there as long as the segment is. To
look at the run for every row cost as much as the row, and locked it against whoever moves it on.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "20261125_stored_without_keys"
down_revision: str | None = "20261125_processes"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TABLES = ("row_projections", "ledger_counts")


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        op.drop_constraint(op.f(f"fk_{table}_model_run_id"), table, type_="foreignkey")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for table in _TABLES:
        name = op.f(f"fk_{table}_model_run_id")
        op.create_foreign_key(name, table, "model_runs", ["model_run_id"], ["id"], ondelete="CASCADE")
