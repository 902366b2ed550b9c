"""Review: what people decide about pre-labels, and the labels that come of it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.paging import Paging
from services.api.projects.queries import get_project
from services.api.review import queries
from services.api.review.bulk import decide_in_bulk, undo_bulk
from services.api.review.decide import decide
from services.api.review.queries import LabelFilter
from services.api.review.reading import read_review
from services.api.review.schemas import DataRowReview, Label
from services.api.review.submission import reopen_review, submit_review

__all__ = ["decide", "decide_in_bulk", "get_review", "list_labels", "reopen_review", "submit_review", "undo_bulk"]


async def get_review(session: AsyncSession, principal: Principal, data_row_id: UUID) -> DataRowReview:
    return await read_review(session, await queries.get_data_row(session, principal.workspace_id, data_row_id))


async def list_labels(
    session: AsyncSession, principal: Principal, project_id: UUID, wanted: LabelFilter, paging: Paging
) -> list[Label]:
    project = await get_project(session, principal.workspace_id, project_id)
    rows = await queries.list_labels(session, project, wanted, paging.after_id, paging.fetch)
    return [Label.from_row(row) for row in rows]
