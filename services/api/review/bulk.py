"""Accepting or rejecting many pre-labels at once: what is asked, and the operation that does it."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.operations.queries import get_operation
from services.api.projects.queries import get_project, hold_project
from services.api.review import bulk_queries, queries
from services.api.review.bulk_plan import count_rows
from services.api.review.bulk_schemas import BulkCounts, BulkCreate, BulkWork, UndoWork
from shared.contracts.events import TERMINAL_STATES
from shared.contracts.operations import ENDED
from shared.database.operations import NewOperation, add_operation
from shared.database.tables import ModelRunRow, OperationRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, FieldError, NotFound, Unprocessable

KIND, UNDO_KIND = "bulk_decisions", "undo_bulk_decisions"
UNDONE_KINDS = frozenset({KIND, "apply_policy"})
"""What decides in bulk, and so is undone like one."""


async def decide_in_bulk(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: BulkCreate, at_once: int
) -> BulkCounts | OperationRow:
    """The counts of a dry run over at most `at_once` detections, else the operation that counts or decides."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    run = await _run(work, project, wanted.model_run_id)
    now = await queries.database_time(work.session)
    asked = BulkWork(**wanted.model_dump(), alignment_version=run.alignment_version, requested_at=now)
    if wanted.dry_run and run.detections <= at_once:
        return await count_rows(work.session, project, asked, principal.member_id)
    return await _add(work, principal, project, KIND, asked.model_dump(mode="json"))


async def undo_bulk(work: UnitOfWork, principal: Principal, project_id: UUID, operation_id: UUID) -> OperationRow:
    """Raises NotFound for what was no bulk of the project, and Conflict while it is under way."""
    project = await get_project(work.session, principal.workspace_id, project_id)
    bulk = await get_operation(work.session, principal.workspace_id, operation_id)
    if bulk.kind not in UNDONE_KINDS or bulk.project_id != project.id:
        raise NotFound()
    if bulk.state not in ENDED:
        extra = {"state": bulk.state, "allowed": sorted(ENDED)}
        raise Conflict("the bulk is still under way; cancel it first", code="operation_not_ended", extra=extra)
    return await _add(work, principal, project, UNDO_KIND, UndoWork(operation_id=bulk.id).model_dump(mode="json"))


async def _run(work: UnitOfWork, project: ProjectRow, run_id: UUID) -> ModelRunRow:
    run = await bulk_queries.find_run(work.session, project, run_id)
    if run is None:
        error = FieldError("/model_run_id", "unknown_model_run", "the project has no such run")
        raise Unprocessable("the pre-labels cannot be decided", code="invalid_bulk", errors=[error])
    if run.state not in TERMINAL_STATES:
        extra = {"state": run.state, "allowed": sorted(TERMINAL_STATES)}
        raise Conflict(f"the run is {run.state}; decide in bulk once it has ended", code="run_not_ended", extra=extra)
    if run.hides_pending:
        raise Conflict("the run was undone or discarded, so nothing of it is pending", code="run_undone")
    return run


async def _add(
    work: UnitOfWork, principal: Principal, project: ProjectRow, kind: str, parameters: dict[str, object]
) -> OperationRow:
    return await add_operation(
        work, NewOperation(kind, project.workspace_id, project.id, parameters, principal.member_id)
    )
