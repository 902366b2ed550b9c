"""Operations: what is read. Those of deleted projects are not found."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.operations import ENDED, OperationState
from shared.database.tables import OperationRow, ProjectRow
from shared.errors import NotFound


@dataclass(frozen=True, slots=True)
class OperationFilter:
    kind: str | None = None
    state: OperationState | None = None
    project_id: UUID | None = None


async def get_operation(session: AsyncSession, workspace_id: UUID, operation_id: UUID) -> OperationRow:
    """Raises NotFound for one of another workspace."""
    row = await session.scalar(_operations(workspace_id).where(OperationRow.id == operation_id))
    if row is None:
        raise NotFound()
    return row


async def lock_operation(session: AsyncSession, workspace_id: UUID, operation_id: UUID) -> OperationRow:
    """Held as it is now; a worker that is in a step is waited for. Raises NotFound."""
    row = await get_operation(session, workspace_id, operation_id)
    await session.refresh(row, with_for_update=True)
    return row


async def list_operations(
    session: AsyncSession, workspace_id: UUID, wanted: OperationFilter, before: UUID | None, limit: int
) -> list[OperationRow]:
    """Newest first."""
    found = _operations(workspace_id)
    if wanted.kind is not None:
        found = found.where(OperationRow.kind == wanted.kind)
    if wanted.state is not None:
        found = found.where(OperationRow.state == wanted.state)
    if wanted.project_id is not None:
        found = found.where(OperationRow.project_id == wanted.project_id)
    if before is not None:
        found = found.where(OperationRow.id < before)
    return list(await session.scalars(found.order_by(OperationRow.id.desc()).limit(limit)))


async def lock_open_operations(session: AsyncSession, project: ProjectRow) -> list[OperationRow]:
    """The project's that have not ended, by id."""
    found = await session.scalars(
        select(OperationRow)
        .where(
            OperationRow.workspace_id == project.workspace_id,
            OperationRow.project_id == project.id,
            OperationRow.state.not_in(ENDED),
        )
        .order_by(OperationRow.id)
        .with_for_update()
    )
    return list(found)


def _operations(workspace_id: UUID) -> Select[OperationRow]:
    return (
        select(OperationRow)
        .outerjoin(ProjectRow, ProjectRow.id == OperationRow.project_id)
        .where(
            OperationRow.workspace_id == workspace_id,
            or_(OperationRow.project_id.is_(None), ProjectRow.deleted_at.is_(None)),
        )
    )
