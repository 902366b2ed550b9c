"""What an import of predictions leaves of its run, however it ends. The operation is locked before the run."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.run_verbs import OPEN
from shared.database.run_events import state_event
from shared.database.tables import ModelRunRow, OperationRow
from shared.database.unit_of_work import UnitOfWork

KIND = "import_predictions"
_LONGEST_REASON = 1000


async def lock_open_run(session: AsyncSession, parameters: dict[str, Any]) -> ModelRunRow | None:
    """The run that an operation fills, held; None when it has ended."""
    row: ModelRunRow | None = await session.scalar(
        select(ModelRunRow)
        .where(ModelRunRow.id == UUID(parameters["model_run_id"]), ModelRunRow.state.in_(OPEN))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return row


async def leave_failed(work: UnitOfWork, operation: OperationRow) -> None:
    """For an operation that ended without success. What it has stored stays."""
    run = await lock_open_run(work.session, operation.parameters)
    if run is None:
        return
    run.state = "failed"
    problem = operation.problem or {"detail": "the import was cancelled"}
    run.state_reason = problem["detail"][:_LONGEST_REASON]
    run.finished_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    await work.session.flush()
    work.emit(state_event(run))
