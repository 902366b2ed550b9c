"""Projects and their ontologies. Ontology versions are immutable; feature schema ids survive versions."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Id, Json, Timestamp


class ProjectRow(Base):
    __tablename__ = "projects"

    id: Mapped[Id]
    workspace_id: Mapped[UUID] = mapped_column(ForeignKey("workspaces.id"))
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    media_type: Mapped[str]
    ontology_version: Mapped[int] = mapped_column(server_default="0")
    revision: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]
    deleted_at: Mapped[Timestamp | None]

    __table_args__ = (Index("ix_projects_workspace_id_id", "workspace_id", "id"),)


class OntologyRow(Base):
    """`tree` is `shared.ontology.Ontology` as JSON, every node with its id."""

    __tablename__ = "ontologies"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    tree: Mapped[Json]
    created_by: Mapped[UUID]
    created_at: Mapped[CreatedAt]


class FeatureSchemaRow(Base):
    """One node of the ontology. `removed_in_version` is null while the newest version has it."""

    __tablename__ = "feature_schemas"

    id: Mapped[Id]
    workspace_id: Mapped[UUID]
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), index=True)
    parent_id: Mapped[UUID | None]
    node: Mapped[str]
    type: Mapped[str | None]
    name: Mapped[str]
    added_in_version: Mapped[int]
    removed_in_version: Mapped[int | None]
