"""What people said of a policy's audits, so that its rule need not look for it. No policy has any so far."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261125_policy_audits"
down_revision: str | None = "20261125_stored_without_keys"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("policy_audits", sa.Column("decision_id", sa.Uuid(), nullable=True))
    op.add_column("policy_audits", sa.Column("is_right", sa.Boolean(), nullable=True))
    op.create_index(
        "ix_policy_audits_judged",
        "policy_audits",
        ["policy_id", "decision_id"],
        postgresql_where=sa.text("decision_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_policy_audits_judged", table_name="policy_audits")
    for column in ("is_right", "decision_id"):
        op.drop_column("policy_audits", column)
