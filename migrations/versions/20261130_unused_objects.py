"""Objects that perhaps nobody names any more, and the index that says who does."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261130_unused_objects"
down_revision: str | None = "20261125_label_studio"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INDEX = "ix_data_row_contents_uri"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "unused_objects",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("removing_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("uri", name=op.f("pk_unused_objects")),
    )
    for name, column, where in (
        ("noted", "noted_at", "removing_at IS NULL"),
        ("going", "removing_at", "removing_at IS NOT NULL AND removed_at IS NULL"),
        ("gone", "removed_at", "removed_at IS NOT NULL"),
    ):
        op.create_index(f"ix_unused_objects_{name}", "unused_objects", [column], postgresql_where=sa.text(where))
    # Imports go on while it is made. One that broke off leaves an index that serves nobody.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_INDEX}")
        op.create_index(
            _INDEX, "data_row_contents", ["uri"], postgresql_using="hash", postgresql_concurrently=True
        )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index(_INDEX, table_name="data_row_contents")
    op.drop_table("unused_objects")
