"""Models that workspaces bring along: what was asked for, where others serve them, and their removal."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261124_own_models"
down_revision: str | None = "20261124_model_speed"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_LIVE = "workspace_id IS NOT NULL AND deleted_at IS NULL AND state <> 'failed'"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("catalog_models", sa.Column("submission", sa.Text(), nullable=True))
    op.add_column("catalog_models", sa.Column("served_at", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("catalog_models", sa.Column("pin", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("catalog_models", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("catalog_models", sa.Column("cleaned_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "uq_catalog_models_own_version",
        "catalog_models",
        ["workspace_id", "slug", "version"],
        unique=True,
        postgresql_where=sa.text(_LIVE),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("uq_catalog_models_own_version", table_name="catalog_models", postgresql_where=sa.text(_LIVE))
    for column in ("cleaned_at", "deleted_at", "pin", "served_at", "submission"):
        op.drop_column("catalog_models", column)
