"""What to review next, and reservations, so that two people do not review the same data row."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.api.dependencies import Editor, Labeler, Paged, Reader, Work
from services.api.idempotency import IdempotentRoute
from services.api.operations.schemas import Operation
from services.api.problems import problems
from services.api.review_queue import service
from services.api.review_queue.schemas import (
    QueuedRow,
    QueueFilter,
    QueueOrder,
    Reservation,
    ReservationUpdate,
    ReserveCreate,
    ReservedRows,
    RunComparisonCreate,
)
from shared.contracts.http import Page

router = APIRouter(prefix="/v1", tags=["review"], route_class=IdempotentRoute)


@router.get("/projects/{project_id}/review-queue", responses=problems(400, 404, 409))
async def list_review_queue(
    principal: Labeler,
    session: Reader,
    paging: Paged,
    project_id: UUID,
    order: Annotated[QueueOrder, Query()] = "uncertainty",
    model_run_id: Annotated[UUID | None, Query()] = None,
    batch_id: Annotated[UUID | None, Query()] = None,
    feature_schema_id: Annotated[UUID | None, Query()] = None,
) -> Page[QueuedRow]:
    """The data rows to review next, with their pre-labels. Left out are those that are submitted or held by others.

    By uncertainty, `least_confidence` (the same), `margin` or `entropy`: the least sure first, of data rows that a run
    has results for, of the 20 newest runs or of one. By `disagreement`: of the newest comparison of runs. By `priority`
    of the batch, and by `position`: all data rows, as they were imported. At most 100 a page.
    """
    wanted = QueueFilter(order=order, model_run_id=model_run_id, batch_id=batch_id, feature_schema_id=feature_schema_id)
    return await service.list_review_queue(session, principal, project_id, wanted, paging)


@router.post("/projects/{project_id}/review-queue/reserve", responses=problems(404, 409))
async def reserve_data_rows(principal: Labeler, work: Work, project_id: UUID, wanted: ReserveCreate) -> ReservedRows:
    """Take the next data rows of the queue: for some minutes nobody else gets them.

    `count` is how many you hold afterwards. Those you hold already come first, and are held anew.
    """
    return ReservedRows(items=await service.reserve_data_rows(work, principal, project_id, wanted))


@router.post("/projects/{project_id}/run-comparisons", status_code=202, responses=problems(404))
async def measure_disagreement(
    principal: Editor, work: Work, project_id: UUID, wanted: RunComparisonCreate, response: Response
) -> Operation:
    """Work out how far runs disagree about each data row they share, for the queue's order by `disagreement`.

    An operation. They are compared as they are shown now; compare anew after another alignment.
    """
    operation = await service.measure_disagreement(work, principal, project_id, wanted)
    response.headers["Location"] = f"/v1/operations/{operation.id}"
    return Operation.from_row(operation)


@router.put("/data-rows/{data_row_id}/reservation", responses=problems(404, 409))
async def reserve_data_row(principal: Labeler, work: Work, data_row_id: UUID, wanted: ReservationUpdate) -> Reservation:
    """Take this data row, or hold it for longer. 409 `reserved` while somebody else holds it."""
    return await service.reserve_data_row(work, principal, data_row_id, wanted)


@router.delete("/data-rows/{data_row_id}/reservation", status_code=204, responses=problems(404))
async def release_data_row(principal: Labeler, work: Work, data_row_id: UUID) -> None:
    """Let others have it. Editors may release what somebody else holds."""
    await service.release_data_row(work, principal, data_row_id)
