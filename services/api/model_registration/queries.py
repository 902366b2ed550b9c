"""Models of a workspace: what registering and removing them reads and writes."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_catalog.queries import visible
from shared.contracts.events import TERMINAL_STATES
from shared.database.model_registrations import FAILED, KIND
from shared.database.tables import CatalogModelRow, ModelRunRow, OperationRow
from shared.errors import NotFound

_MOST_NAMED = 20


async def is_built_in(session: AsyncSession, slug: str) -> bool:
    found = await session.scalar(
        select(CatalogModelRow.id).where(CatalogModelRow.workspace_id.is_(None), CatalogModelRow.slug == slug).limit(1)
    )
    return found is not None


async def count_own_models(session: AsyncSession, workspace_id: UUID) -> int:
    found = await session.scalar(
        select(func.count())
        .select_from(CatalogModelRow)
        .where(
            CatalogModelRow.workspace_id == workspace_id,
            CatalogModelRow.deleted_at.is_(None),
            CatalogModelRow.state != FAILED,
        )
    )
    return found or 0


async def insert_model(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when the workspace has this version of the slug, or this very model, already."""
    new = insert(CatalogModelRow).values(**values).on_conflict_do_nothing()
    return await session.scalar(new.returning(CatalogModelRow.id)) is not None


async def find_version(session: AsyncSession, workspace_id: UUID, slug: str, version: str) -> CatalogModelRow | None:
    """The live entry."""
    row: CatalogModelRow | None = await session.scalar(
        select(CatalogModelRow).where(
            CatalogModelRow.workspace_id == workspace_id,
            CatalogModelRow.slug == slug,
            CatalogModelRow.version == version,
            CatalogModelRow.deleted_at.is_(None),
            CatalogModelRow.state != FAILED,
        )
    )
    return row


async def get_registration(session: AsyncSession, model: CatalogModelRow) -> UUID:
    """The operation that registers the model, or did."""
    found = await session.scalar(
        select(OperationRow.id)
        .where(
            OperationRow.workspace_id == model.workspace_id,
            OperationRow.kind == KIND,
            OperationRow.parameters["catalog_model_id"].astext == str(model.id),
        )
        .limit(1)
    )
    if found is None:
        raise NotFound()
    return found


async def lock_model(session: AsyncSession, workspace_id: UUID, model_id: UUID) -> CatalogModelRow:
    """Held against runs that would begin on it. Raises NotFound."""
    row: CatalogModelRow | None = await session.scalar(
        visible(workspace_id).where(CatalogModelRow.id == model_id).with_for_update()
    )
    if row is None:
        raise NotFound()
    return row


async def list_open_uses(session: AsyncSession, workspace_id: UUID, model_id: UUID) -> list[UUID]:
    """Some of the runs and previews that have not ended."""
    found = await session.scalars(
        select(ModelRunRow.id)
        .where(
            ModelRunRow.workspace_id == workspace_id,
            ModelRunRow.catalog_model_id == model_id,
            ModelRunRow.state.not_in(TERMINAL_STATES),
        )
        .order_by(ModelRunRow.id)
        .limit(_MOST_NAMED)
    )
    return list(found)
