"""Exchange: what only one format knows of a label or detection, and by what name the sender knows a label."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "20261125_exchange"
down_revision: str | None = "20261125_measures"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("detections", sa.Column("extras", _JSON, nullable=True))
    op.add_column("labels", sa.Column("extras", _JSON, nullable=True))
    op.add_column("labels", sa.Column("external_id", sa.Text(), nullable=True))
    op.create_index(
        "uq_labels_external_id",
        "labels",
        ["project_id", "external_id"],
        unique=True,
        postgresql_where=sa.text("external_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("uq_labels_external_id", table_name="labels")
    op.drop_column("labels", "external_id")
    op.drop_column("labels", "extras")
    op.drop_column("detections", "extras")
