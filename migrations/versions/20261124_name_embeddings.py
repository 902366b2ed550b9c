"""name embeddings"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261124_name_embeddings"
down_revision: str | None = "20261124_kept_projections"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_table(
        "name_embeddings",
        sa.Column("workspace_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", "digest", "text", name=op.f("pk_name_embeddings")),
    )
    op.create_index(
        "ix_name_embeddings_wanted",
        "name_embeddings",
        ["digest", "text"],
        unique=False,
        postgresql_where=sa.text("vector IS NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("name_embeddings")
