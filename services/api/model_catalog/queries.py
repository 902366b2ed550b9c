"""The catalog as a workspace sees it: built-in models, and its own."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.tables import CatalogModelRow
from shared.errors import NotFound

MAX_RANKED = 1000


@dataclass(frozen=True, slots=True)
class ModelFilter:
    media_type: str | None = None
    task: str | None = None
    state: str | None = None


async def list_models(
    session: AsyncSession, workspace_id: UUID, wanted: ModelFilter, after: UUID | None, limit: int
) -> list[CatalogModelRow]:
    models = _visible(workspace_id)
    if wanted.media_type is not None:
        models = models.where(CatalogModelRow.media_type == wanted.media_type)
    if wanted.task is not None:
        models = models.where(CatalogModelRow.task == wanted.task)
    if wanted.state is not None:
        models = models.where(CatalogModelRow.state == wanted.state)
    if after is not None:
        models = models.where(CatalogModelRow.id > after)
    return list(await session.scalars(models.order_by(CatalogModelRow.id).limit(limit)))


async def find_model(session: AsyncSession, workspace_id: UUID, model_id: UUID) -> CatalogModelRow | None:
    return await session.scalar(_visible(workspace_id).where(CatalogModelRow.id == model_id))


async def get_model(session: AsyncSession, workspace_id: UUID, model_id: UUID) -> CatalogModelRow:
    """Raises NotFound for one of another workspace."""
    row = await find_model(session, workspace_id, model_id)
    if row is None:
        raise NotFound()
    return row


async def list_models_to_rank(session: AsyncSession, workspace_id: UUID) -> list[CatalogModelRow]:
    """The newest, up to a bound: ranking needs them all at once."""
    return list(await session.scalars(_visible(workspace_id).order_by(CatalogModelRow.id.desc()).limit(MAX_RANKED)))


def _visible(workspace_id: UUID) -> Select[CatalogModelRow]:
    return select(CatalogModelRow).where(
        or_(CatalogModelRow.workspace_id.is_(None), CatalogModelRow.workspace_id == workspace_id)
    )
