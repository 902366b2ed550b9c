"""What a Label Studio project said at its setup, and facts about the data rows its tasks became."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.label_studio.schemas import BackendSettings
from shared.database.tables import (
    DataRowContentRow,
    DataRowRow,
    LabelStudioProjectRow,
    ModelRunRow,
    ProjectRow,
    RowOutcomeRow,
)
from shared.label_studio.regions import Frame


async def store_settings(session: AsyncSession, project: ProjectRow, source: str, settings: BackendSettings) -> None:
    values = {"settings": settings.model_dump(mode="json", exclude_none=True), "updated_at": func.now()}
    keys = {"workspace_id": project.workspace_id, "project_id": project.id, "source": source}
    new = insert(LabelStudioProjectRow).values(**keys, **values)
    await session.execute(new.on_conflict_do_update(index_elements=["project_id", "source"], set_=values))


async def find_settings(session: AsyncSession, project: ProjectRow, source: str) -> BackendSettings:
    """Empty ones for a project that never set anything up."""
    found = await session.scalar(
        select(LabelStudioProjectRow.settings).where(
            LabelStudioProjectRow.workspace_id == project.workspace_id,
            LabelStudioProjectRow.project_id == project.id,
            LabelStudioProjectRow.source == source,
        )
    )
    return BackendSettings.model_validate(found or {})


async def find_by_keys(session: AsyncSession, project: ProjectRow, keys: Sequence[str]) -> dict[str, UUID]:
    found = await session.execute(
        select(DataRowRow.global_key, DataRowRow.id).where(
            DataRowRow.workspace_id == project.workspace_id,
            DataRowRow.project_id == project.id,
            DataRowRow.global_key.in_(keys),
        )
    )
    return {key: row_id for key, row_id in found}


async def find_frames(session: AsyncSession, workspace_id: UUID, data_row_ids: Sequence[UUID]) -> dict[UUID, Frame]:
    content = DataRowContentRow
    found = await session.execute(
        select(content.data_row_id, content.width, content.height, content.text).where(
            content.workspace_id == workspace_id, content.data_row_id.in_(data_row_ids)
        )
    )
    return {row_id: Frame(width, height, text) for row_id, width, height, text in found}


async def find_failures(session: AsyncSession, run: ModelRunRow) -> dict[UUID, tuple[str, str]]:
    """Code and detail of the data rows that the model has no result for."""
    outcome = RowOutcomeRow
    found = await session.execute(
        select(outcome.data_row_id, outcome.code, outcome.detail).where(
            outcome.workspace_id == run.workspace_id,
            outcome.model_run_id == run.id,
            outcome.state != "succeeded",
        )
    )
    return {row_id: (code or "skipped", detail or "") for row_id, code, detail in found}


async def find_run(session: AsyncSession, workspace_id: UUID, run_id: UUID) -> ModelRunRow | None:
    return await session.scalar(
        select(ModelRunRow)
        .where(ModelRunRow.workspace_id == workspace_id, ModelRunRow.id == run_id)
        .execution_options(populate_existing=True)
    )
