"""Models offered for use. A row is immutable but for its live state."""

from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json


class CatalogModelRow(Base):
    """Built-in models have no workspace. `card` is `shared.model_card.ModelCard` as JSON."""

    __tablename__ = "catalog_models"

    id: Mapped[Id]
    workspace_id: Mapped[UUID | None]
    slug: Mapped[str]
    name: Mapped[str]
    version: Mapped[str]
    digest: Mapped[str]
    media_type: Mapped[str]
    task: Mapped[str]
    card: Mapped[Json]
    state: Mapped[str] = mapped_column(server_default="loading")
    state_reason: Mapped[str | None]
    state_changed_at: Mapped[CreatedAt]
    rows_per_second: Mapped[float | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        Index(
            "uq_catalog_models_builtin_digest",
            "digest",
            unique=True,
            postgresql_where=text("workspace_id IS NULL"),
        ),
        Index("uq_catalog_models_own_digest", "workspace_id", "digest", unique=True),
    )
