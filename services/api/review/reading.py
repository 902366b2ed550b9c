"""The review of a data row as it is now."""

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.review import queries
from services.api.review.schemas import DataRowReview, Decision, Label
from shared.database.tables import DataRowRow


async def read_review(session: AsyncSession, data_row: DataRowRow) -> DataRowReview:
    """Revision 0 while nobody has worked on it."""
    # The revision first: what is decided meanwhile then belongs to a later one, and an If-Match made of this fails.
    review = await queries.find_review(session, data_row)
    return DataRowReview(
        data_row_id=data_row.id,
        project_id=data_row.project_id,
        revision=review.revision if review else 0,
        state=review.state if review else "open",
        updated_at=review.updated_at if review and review.revision else None,
        seconds=review.seconds if review else None,
        submitted_by=review.submitted_by if review else None,
        submitted_at=review.submitted_at if review else None,
        origin=review.origin if review else None,
        labels=[Label.from_row(row) for row in await queries.list_labels_of(session, data_row)],
        decisions=[Decision.from_row(row) for row in await queries.list_decisions(session, data_row)],
    )
