"""Reading what previews have found, for sweeps and comparisons: all of a sample, since that is at most 1,000 rows."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.previews.matching import Thing, things_of
from services.api.projections.reading import Reader, ReadRow
from shared.alignment import Alignment
from shared.annotations import ANNOTATION
from shared.database.tables import DataRowReviewRow, LabelRow, ModelRunRow
from shared.database.withholding import find_withheld
from shared.selection import Candidate
from shared.selection import select as select_shown

_SUBMITTED = "submitted"


@dataclass(frozen=True, slots=True)
class SeenRow:
    data_row_id: UUID
    visible: Sequence[Candidate]


async def look(
    session: AsyncSession, preview: ModelRunRow, alignment: Alignment, *, whole: bool
) -> AsyncIterator[SeenRow]:
    """Every data row that has a result. `whole`: annotations will be asked for."""
    reader = Reader(session, preview, alignment, whole=whole)
    rows: list[ReadRow] = await reader.rows_after(None)
    while rows:
        for row in rows:
            yield SeenRow(row.data_row_id, select_shown(row.detections, alignment).visible)
        rows = await reader.rows_after(rows[-1].data_row_id)


async def find_labels(
    session: AsyncSession, preview: ModelRunRow, data_row_ids: Sequence[UUID]
) -> dict[UUID, list[Thing]]:
    """What people said of these data rows. One without a label is here only when its review was submitted like that.

    Withheld ones are not here: what the preview found there is not known to it.
    """
    withheld = await find_withheld(session, preview.workspace_id, data_row_ids)
    data_row_ids = [data_row_id for data_row_id in data_row_ids if data_row_id not in withheld]
    reviewed = await session.scalars(
        select(DataRowReviewRow.data_row_id).where(
            DataRowReviewRow.workspace_id == preview.workspace_id,
            DataRowReviewRow.data_row_id.in_(data_row_ids),
            DataRowReviewRow.state == _SUBMITTED,
        )
    )
    without: dict[UUID, list[Thing]] = {data_row_id: [] for data_row_id in reviewed}
    return without | await labels_of(session, preview.workspace_id, data_row_ids)


async def labels_of(session: AsyncSession, workspace_id: UUID, data_row_ids: Sequence[UUID]) -> dict[UUID, list[Thing]]:
    """Of the data rows that have any."""
    found: defaultdict[UUID, list[Thing]] = defaultdict(list)
    labels = await session.execute(
        select(LabelRow.data_row_id, LabelRow.feature_schema_id, LabelRow.annotation).where(
            LabelRow.workspace_id == workspace_id,
            LabelRow.data_row_id.in_(data_row_ids),
            LabelRow.deleted_at.is_(None),
        )
    )
    for data_row_id, feature_id, annotation in labels:
        found[data_row_id] += things_of(feature_id, ANNOTATION.validate_python(annotation))
    return dict(found)
