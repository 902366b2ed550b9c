"""What a registration leaves in the catalog, however it ends. The operation is locked before the entry."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.events import ModelFailed
from shared.database.tables import CatalogModelRow, OperationRow
from shared.database.unit_of_work import UnitOfWork

KIND = "model_registration"
REGISTERING, FAILED = "registering", "failed"
_LONGEST_REASON = 1000


async def lock_registering(session: AsyncSession, parameters: dict[str, Any]) -> CatalogModelRow | None:
    """The entry that an operation registers, held; None when it is not open any more."""
    row: CatalogModelRow | None = await session.scalar(
        select(CatalogModelRow)
        .where(CatalogModelRow.id == UUID(parameters["catalog_model_id"]), CatalogModelRow.state == REGISTERING)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return row


async def leave_failed(work: UnitOfWork, operation: OperationRow) -> None:
    """For an operation that ended without success; what was stored and loaded is removed by the keeper of models."""
    row = await lock_registering(work.session, operation.parameters)
    if row is None:
        return
    problem = operation.problem or {"detail": "the registration was cancelled"}
    row.state, row.state_reason = FAILED, problem["detail"][:_LONGEST_REASON]
    row.state_changed_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    work.emit(
        ModelFailed(
            workspace_id=operation.workspace_id,
            model_id=row.id,
            slug=row.slug,
            model_version=row.version,
            reason=row.state_reason,
        )
    )
