"""Previews: what is read and written. Those of deleted projects are not found."""

from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import ModelRunRow, ProjectRow
from shared.errors import NotFound


async def find_preview(session: AsyncSession, workspace_id: UUID, preview_id: UUID) -> ModelRunRow | None:
    return await session.scalar(_previews(workspace_id).where(ModelRunRow.id == preview_id))


async def get_preview(session: AsyncSession, workspace_id: UUID, preview_id: UUID) -> ModelRunRow:
    """Raises NotFound for a run, and for a preview of another workspace."""
    row = await find_preview(session, workspace_id, preview_id)
    if row is None:
        raise NotFound()
    return row


def _previews(workspace_id: UUID) -> Select[ModelRunRow]:
    return (
        select(ModelRunRow)
        .join(ProjectRow, ProjectRow.id == ModelRunRow.project_id)
        .where(
            ModelRunRow.workspace_id == workspace_id,
            ModelRunRow.purpose == "preview",
            ProjectRow.deleted_at.is_(None),
        )
    )
