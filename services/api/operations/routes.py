"""Long work in the background: how far it is, how it ended."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.api.dependencies import Editor, Paged, Reader, Viewer, Work
from services.api.idempotency import IdempotentRoute
from services.api.operations import queries, service
from services.api.operations.queries import OperationFilter
from services.api.operations.schemas import Operation
from services.api.paging import by_id
from services.api.problems import problems
from shared.contracts.http import Page
from shared.contracts.operations import OperationState

router = APIRouter(prefix="/v1", tags=["operations"], route_class=IdempotentRoute)


@router.get("/operations", responses=problems(400))
async def list_operations(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    kind: Annotated[str | None, Query(max_length=100, examples=["realign_model_run"])] = None,
    state: Annotated[OperationState | None, Query()] = None,
    project_id: Annotated[UUID | None, Query()] = None,
) -> Page[Operation]:
    """The workspace's operations, newest first."""
    wanted = OperationFilter(kind, state, project_id)
    rows = await queries.list_operations(session, principal.workspace_id, wanted, paging.after_id, paging.fetch)
    return paging.page([Operation.from_row(row) for row in rows], by_id)


@router.get("/operations/{operation_id}", responses=problems(404))
async def get_operation(principal: Viewer, session: Reader, operation_id: UUID) -> Operation:
    """One operation: its state, how far it is, and its result or problem."""
    return Operation.from_row(await queries.get_operation(session, principal.workspace_id, operation_id))


@router.post("/operations/{operation_id}/cancel", responses=problems(404, 409))
async def cancel_operation(principal: Editor, work: Work, operation_id: UUID) -> Operation:
    """End an operation for good; what it has done so far stays. For one that has ended: 409 with `allowed`."""
    row = await service.cancel_operation(work, principal, operation_id)
    await work.session.flush()
    return Operation.from_row(row)
