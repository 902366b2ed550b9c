"""How the measured speed of a model varies, and what it rests on."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "20261124_model_speed"
down_revision: str | None = "20261124_name_embeddings"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("catalog_models", sa.Column("speed_variance", sa.Float(53), server_default="0", nullable=False))
    op.add_column("catalog_models", sa.Column("speed_seconds", sa.Float(53), server_default="0", nullable=False))
    op.add_column("catalog_models", sa.Column("speed_samples", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for column in ("speed_samples", "speed_seconds", "speed_variance"):
        op.drop_column("catalog_models", column)
