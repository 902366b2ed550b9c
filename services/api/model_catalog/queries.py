"""The catalog as a workspace sees it: built-in models, and its own."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.model_registrations import FAILED
from shared.database.tables import CatalogModelRow
from shared.errors import NotFound

MAX_RANKED = 1000


@dataclass(frozen=True, slots=True)
class ModelFilter:
    media_type: str | None = None
    task: str | None = None
    state: str | None = None
    slug: str | None = None


async def list_models(
    session: AsyncSession, workspace_id: UUID, wanted: ModelFilter, after: UUID | None, limit: int
) -> list[CatalogModelRow]:
    models = visible(workspace_id)
    if wanted.media_type is not None:
        models = models.where(CatalogModelRow.media_type == wanted.media_type)
    if wanted.task is not None:
        models = models.where(CatalogModelRow.task == wanted.task)
    if wanted.state is not None:
        models = models.where(CatalogModelRow.state == wanted.state)
    if wanted.slug is not None:
        models = models.where(CatalogModelRow.slug == wanted.slug)
    if after is not None:
        models = models.where(CatalogModelRow.id > after)
    return list(await session.scalars(models.order_by(CatalogModelRow.id).limit(limit)))


async def find_model(session: AsyncSession, workspace_id: UUID, model_id: UUID) -> CatalogModelRow | None:
    return await session.scalar(visible(workspace_id).where(CatalogModelRow.id == model_id))


async def get_model(session: AsyncSession, workspace_id: UUID, model_id: UUID) -> CatalogModelRow:
    """Raises NotFound for one of another workspace."""
    row = await find_model(session, workspace_id, model_id)
    if row is None:
        raise NotFound()
    return row


async def list_models_to_rank(session: AsyncSession, workspace_id: UUID) -> list[CatalogModelRow]:
    """Of each slug the newest version that is ready, or else the newest; so many that all can be ranked at once."""
    row = CatalogModelRow
    offered = (
        visible(workspace_id)
        .where(row.state != FAILED)
        .ext(distinct_on(row.workspace_id, row.slug))
        .order_by(row.workspace_id, row.slug, (row.state == "ready").desc(), row.id.desc())
        .limit(MAX_RANKED)
    )
    return list(await session.scalars(offered))


async def hold_model(session: AsyncSession, workspace_id: UUID, model_id: UUID) -> CatalogModelRow | None:
    """Until commit it cannot be deleted."""
    held = visible(workspace_id).where(CatalogModelRow.id == model_id).with_for_update(read=True, key_share=True)
    return await session.scalar(held)


def visible(workspace_id: UUID) -> Select[CatalogModelRow]:
    """Built-in models and the workspace's own, without those it deleted."""
    return select(CatalogModelRow).where(
        or_(CatalogModelRow.workspace_id.is_(None), CatalogModelRow.workspace_id == workspace_id),
        CatalogModelRow.deleted_at.is_(None),
    )
