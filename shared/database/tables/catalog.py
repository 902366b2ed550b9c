"""Models offered for use. A row is immutable but for its live state, once it has been ready."""

from uuid import UUID

from sqlalchemy import Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class CatalogModelRow(Base):
    """Built-in models have no workspace. `card` is `shared.model_card.ModelCard` as JSON.

    Own ones: `submission` is the digest of what was asked for, so that a repeat is known; `served_at` and `pin` (both
    of `shared.served_at`) are of models on servers of others; `cleaned_at` says that the files of one that failed or
    was deleted are gone. `processing` is with which version of their code the workers use it now.
    """

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
    speed_variance: Mapped[float] = mapped_column(server_default="0")
    speed_seconds: Mapped[float] = mapped_column(server_default="0")
    speed_samples: Mapped[int] = mapped_column(server_default="0")
    submission: Mapped[str | None]
    processing: Mapped[str | None]
    served_at: Mapped[Json | None]
    pin: Mapped[Json | None]
    deleted_at: Mapped[Timestamp | None]
    cleaned_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        Index(
            "uq_catalog_models_builtin_digest",
            "digest",
            unique=True,
            postgresql_where=sql("workspace_id IS NULL"),
        ),
        Index("uq_catalog_models_own_digest", "workspace_id", "digest", unique=True),
        # One that failed or was deleted makes room for another try.
        Index(
            "uq_catalog_models_own_version",
            "workspace_id",
            "slug",
            "version",
            unique=True,
            postgresql_where=sql("workspace_id IS NOT NULL AND deleted_at IS NULL AND state <> 'failed'"),
        ),
    )


class NameEmbeddingRow(Base):
    """What a name means to the embedding model of this digest: `vector` is FP32, little-endian, null while wanted."""

    __tablename__ = "name_embeddings"

    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(primary_key=True)
    vector: Mapped[bytes | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        Index(
            "ix_name_embeddings_wanted",
            "digest",
            "text",
            postgresql_where=sql("vector IS NULL"),
        ),
    )
