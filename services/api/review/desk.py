"""A data row on somebody's desk: its review held, with all that decisions about it are checked by."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.etags import etag
from services.api.projects.queries import feature_of, find_ontology, hold_project, list_features
from services.api.review import queries
from services.api.review.fitting import Ground
from services.api.review.reading import read_review
from services.api.review.settled import Settled
from shared.annotations import Canvas
from shared.database.tables import DataRowReviewRow, DataRowRow, DecisionRow, LabelRow, ProjectRow
from shared.errors import Conflict, PreconditionFailed
from shared.ontology import Ontology, required_ids


@dataclass(frozen=True)
class Desk:
    """`labels` and `decisions` are all of the data row, gone ones too; `names` those of features, removed ones too."""

    data_row: DataRowRow
    review: DataRowReviewRow
    labels: Mapping[UUID, LabelRow]
    decisions: Mapping[UUID, DecisionRow]
    ground: Ground
    names: Mapping[UUID | None, str]

    def live_labels(self) -> dict[UUID, Settled]:
        return {key: Settled.of_label(label) for key, label in self.labels.items() if label.deleted_at is None}


async def open_desk(session: AsyncSession, principal: Principal, data_row_id: UUID, expected: int) -> Desk:
    """Held until commit. Raises NotFound, and PreconditionFailed with the review as it is for another revision."""
    data_row = await queries.get_data_row(session, principal.workspace_id, data_row_id)
    # The project too, so that no feature goes while a label for it is made.
    project = await hold_project(session, principal.workspace_id, data_row.project_id)
    review = await queries.lock_review(session, data_row)
    if review.revision != expected:
        raise await _stale(session, data_row, review.revision)
    return await lay_out(session, project, data_row, review)


async def lay_out(session: AsyncSession, project: ProjectRow, data_row: DataRowRow, review: DataRowReviewRow) -> Desk:
    """For a review that is held already."""
    rows = await list_features(session, project)
    ontology = await find_ontology(session, project)
    ground = Ground(
        features={row.id: feature_of(row) for row in rows if row.removed_in_version is None},
        removed={row.id for row in rows if row.removed_in_version is not None},
        required=required_ids(Ontology.model_validate(ontology.tree)) if ontology else set(),
        canvas=await _canvas(session, data_row),
    )
    return Desk(
        data_row,
        review,
        {label.id: label for label in await queries.list_labels_of(session, data_row, gone=True)},
        {decision.id: decision for decision in await queries.list_decisions(session, data_row)},
        ground,
        {row.id: row.name for row in rows},
    )


def check_open(review: DataRowReviewRow) -> None:
    """Raises Conflict for a data row whose review is submitted."""
    if review.state != "open":
        raise Conflict(
            "the review of this data row is submitted; reopen it first",
            code="review_submitted",
            extra={"state": review.state, "allowed": ["open"]},
        )


async def _canvas(session: AsyncSession, data_row: DataRowRow) -> Canvas | None:
    content = await queries.find_content(session, data_row)
    if content is None:
        return None
    if content.text is not None:
        return Canvas(length=len(content.text))
    if content.length is not None:
        return Canvas(length=content.length)
    return Canvas(content.width, content.height) if content.width and content.height else None


async def _stale(session: AsyncSession, data_row: DataRowRow, revision: int) -> PreconditionFailed:
    current = await read_review(session, data_row)
    return PreconditionFailed(
        "somebody has decided about this data row since you read it",
        extra={"current_etag": etag(revision), "current": current.model_dump(mode="json")},
    )
