"""Withholding: what is read and written."""

from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.events import TERMINAL_STATES
from shared.database.tables import DataRowReviewRow, ModelRunRow, ProjectRow, WithheldRowRow, WithholdingRow


async def find_withholding(session: AsyncSession, project: ProjectRow) -> WithholdingRow | None:
    return await session.scalar(
        select(WithholdingRow).where(
            WithholdingRow.workspace_id == project.workspace_id, WithholdingRow.project_id == project.id
        )
    )


async def count_withheld(session: AsyncSession, project: ProjectRow) -> tuple[int, int]:
    """All of them, and those whose review was submitted."""
    submitted = exists().where(
        DataRowReviewRow.data_row_id == WithheldRowRow.data_row_id, DataRowReviewRow.state == "submitted"
    )
    found = await session.execute(
        select(func.count(), func.count().filter(submitted)).where(
            WithheldRowRow.workspace_id == project.workspace_id, WithheldRowRow.project_id == project.id
        )
    )
    every, done = found.one()
    return every, done


async def find_open_run(session: AsyncSession, project: ProjectRow) -> UUID | None:
    """A run, preview or import of the project that has not ended."""
    return await session.scalar(
        select(ModelRunRow.id)
        .where(
            ModelRunRow.workspace_id == project.workspace_id,
            ModelRunRow.project_id == project.id,
            ModelRunRow.state.not_in(TERMINAL_STATES),
        )
        .limit(1)
    )
