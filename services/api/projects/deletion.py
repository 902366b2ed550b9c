"""Deleting a project: hidden at once, its open operations and runs cancelled in the same transaction.

Its rows stay for now.
"""

from uuid import UUID

from sqlalchemy import func, select

from services.api.access.principal import Principal
from services.api.model_runs.cancel import cancel_held_run
from services.api.model_runs.holding import hold_run
from services.api.operations.queries import lock_open_operations
from services.api.projects import queries
from shared.contracts.events import TERMINAL_STATES, ProjectDeleted
from shared.database.operations import end_operation
from shared.database.unit_of_work import UnitOfWork

_REASON = "project_deleted"


async def delete_project(work: UnitOfWork, principal: Principal, project_id: UUID) -> None:
    """A worker still busy with one of its segments finds another generation there and can store nothing more."""
    project = await queries.lock_project(work.session, principal.workspace_id, project_id)
    for operation in await lock_open_operations(work.session, project):
        await end_operation(work, operation, "cancelled")
    for run in await queries.list_open_runs(work.session, project):
        await hold_run(work, run)
        if run.state not in TERMINAL_STATES:  # it may have ended while we waited for it
            await cancel_held_run(work, run, _REASON)
    project.deleted_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    work.emit(ProjectDeleted(workspace_id=project.workspace_id, project_id=project.id))
