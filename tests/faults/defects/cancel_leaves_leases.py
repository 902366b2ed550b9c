"""A cancel closes the segments nobody works on, and leaves the others to their workers."""

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs import queries
from shared.database.tables import ModelRunRow, SegmentRow


def apply() -> None:
    queries.close_segments = _close_open_segments


async def _close_open_segments(session: AsyncSession, run: ModelRunRow) -> None:
    await session.execute(
        update(SegmentRow)
        .where(SegmentRow.model_run_id == run.id, SegmentRow.state == "open")
        .values(state="cancelled", generation=SegmentRow.generation + 1)
    )
