"""What people decide about pre-labels, and the labels that come of it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.api.dependencies import Editor, IfMatch, Labeler, Paged, Reader, Settings, Viewer, Work
from services.api.etags import etag
from services.api.idempotency import IdempotentRoute
from services.api.operations.schemas import Operation
from services.api.paging import by_id
from services.api.problems import problems
from services.api.review import service
from services.api.review.bulk_schemas import BulkCounts, BulkCreate
from services.api.review.queries import LabelFilter
from services.api.review.schemas import DataRowReview, DecisionsCreate, Label, ReviewSubmit
from shared.contracts.http import Page
from shared.database.tables import OperationRow

router = APIRouter(prefix="/v1", tags=["review"], route_class=IdempotentRoute)


@router.get("/data-rows/{data_row_id}/review", responses=problems(404))
async def get_data_row_review(
    principal: Viewer, session: Reader, data_row_id: UUID, response: Response
) -> DataRowReview:
    """Labels and decisions of one data row. Its ETag is for deciding."""
    return _shown(await service.get_review(session, principal, data_row_id), response)


@router.post("/data-rows/{data_row_id}/decisions", status_code=201, responses=problems(404, 409, 412, 428))
async def decide(
    principal: Labeler,
    work: Work,
    data_row_id: UUID,
    expected: IfMatch,
    wanted: DecisionsCreate,
    response: Response,
) -> DataRowReview:
    """Accept, edit and reject pre-labels of one data row, add, change and delete labels by hand, undo: all or none.

    An accepted or edited pre-label becomes a label with its provenance. 412 holds the review as it is now in `current`.
    """
    return _shown(await service.decide(work, principal, data_row_id, expected, wanted), response)


@router.post("/data-rows/{data_row_id}/review/submit", responses=problems(404, 409, 412, 428))
async def submit_review(
    principal: Labeler,
    work: Work,
    data_row_id: UUID,
    expected: IfMatch,
    wanted: ReviewSubmit,
    response: Response,
) -> DataRowReview:
    """The review of the data row is done. 422 lists what the ontology requires and is missing."""
    return _shown(await service.submit_review(work, principal, data_row_id, expected, wanted), response)


@router.post("/data-rows/{data_row_id}/review/reopen", responses=problems(404, 409, 412, 428))
async def reopen_review(
    principal: Labeler, work: Work, data_row_id: UUID, expected: IfMatch, response: Response
) -> DataRowReview:
    """Open a submitted review again, so that it can be changed."""
    return _shown(await service.reopen_review(work, principal, data_row_id, expected), response)


@router.post(
    "/projects/{project_id}/decisions/bulk",
    response_model=BulkCounts | Operation,
    responses={**problems(404, 409), 202: {"model": Operation}},
)
async def decide_in_bulk(
    principal: Editor, work: Work, settings: Settings, project_id: UUID, wanted: BulkCreate, response: Response
) -> BulkCounts | Operation:
    """Accept or reject the pending pre-labels of a run by feature, class and confidence.

    An operation: 202 with its `Location`. It passes over data rows that somebody has reserved, submitted or worked on
    since, and says how many. With `dry_run` it only counts: at once for a run that is not large.
    """
    found = await service.decide_in_bulk(work, principal, project_id, wanted, settings.realign_at_once)
    return found if isinstance(found, BulkCounts) else _begun(found, response)


@router.post("/projects/{project_id}/decisions/bulk/{operation_id}/undo", status_code=202, responses=problems(404, 409))
async def undo_bulk(
    principal: Editor, work: Work, project_id: UUID, operation_id: UUID, response: Response
) -> Operation:
    """Take back what a bulk has decided, where nobody has changed anything since. An operation, too."""
    return _begun(await service.undo_bulk(work, principal, project_id, operation_id), response)


@router.get("/projects/{project_id}/labels", responses=problems(400, 404))
async def list_labels(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    project_id: UUID,
    data_row_id: Annotated[UUID | None, Query()] = None,
    feature_schema_id: Annotated[UUID | None, Query()] = None,
) -> Page[Label]:
    """The project's labels, oldest first."""
    wanted = LabelFilter(data_row_id, feature_schema_id)
    return paging.page(await service.list_labels(session, principal, project_id, wanted, paging), by_id)


def _begun(operation: OperationRow, response: Response) -> Operation:
    response.status_code, response.headers["Location"] = 202, f"/v1/operations/{operation.id}"
    return Operation.from_row(operation)


def _shown(found: DataRowReview, response: Response) -> DataRowReview:
    response.headers["ETag"] = etag(found.revision)
    return found
