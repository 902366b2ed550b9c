"""Leases on operations: who works on one, and by which right it writes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261124_operation_leases"
down_revision: str | None = "399ae751f282"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("operations", sa.Column("holder", sa.Text(), nullable=True))
    op.add_column("operations", sa.Column("generation", sa.Integer(), server_default="0", nullable=False))
    op.add_column("operations", sa.Column("attempts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("operations", sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("operations", sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_operations_unfinished",
        "operations",
        ["kind", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(
        "ix_operations_unfinished",
        table_name="operations",
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    for column in ("started_at", "heartbeat_at", "attempts", "generation", "holder"):
        op.drop_column("operations", column)
