"""Submitting the review of a data row, and opening it again."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.review import queries
from services.api.review.desk import Desk, check_open, open_desk
from services.api.review.reading import read_review
from services.api.review.schemas import DataRowReview, ReviewSubmit
from services.api.review.settled import Settled
from shared.contracts.review_events import DataRowReopened, DataRowSubmitted
from shared.database.tables import DataRowRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, Problems


async def submit_review(
    work: UnitOfWork, principal: Principal, data_row_id: UUID, expected: int, wanted: ReviewSubmit
) -> DataRowReview:
    """Raises Unprocessable with everything the ontology requires and nobody has labeled."""
    desk = await open_desk(work.session, principal, data_row_id, expected)
    check_open(desk.review)
    desk.review.revision += 1
    desk.review.updated_at = await queries.database_time(work.session)
    if wanted.seconds is not None:
        desk.review.seconds = (desk.review.seconds or 0.0) + wanted.seconds
    await submit(work, principal, desk, "")
    await work.session.flush()
    return await read_review(work.session, desk.data_row)


async def submit(work: UnitOfWork, principal: Principal, desk: Desk, pointer: str) -> None:
    """For a desk whose revision is raised already; `pointer` is what asked for it."""
    labels = {label.id: label for label in await queries.list_labels_of(work.session, desk.data_row)}
    _check_complete(desk, {key: Settled.of_label(label) for key, label in labels.items()}, pointer)
    review = desk.review
    review.state, review.submitted_by, review.submitted_at = "submitted", principal.member_id, review.updated_at
    review.reserved_by = review.reserved_until = review.origin = None
    await work.session.flush()
    await queries.mark_submitted(work.session, desk.data_row.project_id, [desk.data_row.id], submitted=True)
    work.emit(DataRowSubmitted(**_about(desk.data_row), revision=review.revision))


async def reopen_review(work: UnitOfWork, principal: Principal, data_row_id: UUID, expected: int) -> DataRowReview:
    """Raises Conflict for a review that is open."""
    desk = await open_desk(work.session, principal, data_row_id, expected)
    review = desk.review
    if review.state == "open":
        extra = {"state": review.state, "allowed": ["submitted"]}
        raise Conflict("the review of this data row is open", code="review_open", extra=extra)
    review.revision += 1
    review.updated_at = await queries.database_time(work.session)
    review.state, review.submitted_by, review.submitted_at, review.origin = "open", None, None, None
    await work.session.flush()
    await queries.mark_submitted(work.session, desk.data_row.project_id, [desk.data_row.id], submitted=False)
    work.emit(DataRowReopened(**_about(desk.data_row), revision=review.revision))
    return await read_review(work.session, desk.data_row)


def _check_complete(desk: Desk, labels: dict[UUID, Settled], pointer: str) -> None:
    problems = Problems()
    for feature in desk.ground.missing_in_row(list(labels.values())):
        problems.add(pointer, "required_missing", f"there must be at least one label for {feature.name!r}")
    for label_id, label in labels.items():
        for asked in desk.ground.missing(label):
            problems.add(pointer, "required_missing", f"{asked.name!r} must be answered in the label {label_id}")
    problems.raise_if_any("the ontology requires more than was labeled", code="review_incomplete")


def _about(data_row: DataRowRow) -> dict[str, UUID]:
    return {
        "workspace_id": data_row.workspace_id,
        "project_id": data_row.project_id,
        "data_row_id": data_row.id,
    }
