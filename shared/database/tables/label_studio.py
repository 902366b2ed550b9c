"""Label Studio projects that ask a project of ours for predictions."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.tables.base import Base, CreatedAt, Json


class LabelStudioProjectRow(Base):
    """`source` is what Label Studio calls its project; `settings` what was set up there, without its access token."""

    __tablename__ = "label_studio_projects"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[UUID]
    settings: Mapped[Json]
    updated_at: Mapped[CreatedAt]
