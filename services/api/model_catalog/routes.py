"""The model catalog, and how a model fits a project."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.api.dependencies import Paged, Reader, Viewer, Works
from services.api.idempotency import IdempotentRoute
from services.api.model_catalog import queries, service
from services.api.model_catalog.schemas import (
    CatalogModel,
    CatalogModelSummary,
    ModelState,
    RankedModel,
    SuggestedAlignmentAnswer,
)
from services.api.paging import by_id
from services.api.problems import problems
from shared.contracts.http import Page
from shared.model_card import Task
from shared.preprocessing import MediaType

router = APIRouter(prefix="/v1", tags=["models"], route_class=IdempotentRoute)


@router.get("/models", responses=problems(400))
async def list_models(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    media_type: Annotated[MediaType | None, Query()] = None,
    task: Annotated[Task | None, Query()] = None,
    state: Annotated[ModelState | None, Query()] = None,
    slug: Annotated[str | None, Query(max_length=61, description="all versions of one model")] = None,
) -> Page[CatalogModelSummary]:
    """The catalog: built-in models and those of the workspace, oldest first."""
    wanted = queries.ModelFilter(media_type, task, state, slug)
    rows = await queries.list_models(session, principal.workspace_id, wanted, paging.after_id, paging.fetch)
    return paging.page([CatalogModelSummary.from_row(row) for row in rows], by_id)


@router.get("/models/{model_id}", responses=problems(404))
async def get_model(principal: Viewer, session: Reader, model_id: UUID) -> CatalogModel:
    """One model with its whole card, its digest and its live state."""
    return CatalogModel.from_row(await queries.get_model(session, principal.workspace_id, model_id))


@router.get("/projects/{project_id}/models", responses=problems(400, 404))
async def list_project_models(principal: Viewer, session: Reader, paging: Paged, project_id: UUID) -> Page[RankedModel]:
    """The catalog as it fits this project: what needs the least set-up first, what is blocked last.

    Of each slug the newest version that is ready; where none is, the newest. `GET /v1/models?slug=` has them all.
    """
    found = await service.rank_models(session, principal, project_id)
    start = next((place for place, (row, _) in enumerate(found, 1) if row.id == paging.after_id), 0)
    wanted = found[start : start + paging.fetch]
    return paging.page([RankedModel.of(row, compatibility) for row, compatibility in wanted], by_id)


@router.get("/projects/{project_id}/models/{model_id}/alignment", responses=problems(404))
async def suggest_alignment(
    principal: Viewer, works: Works, project_id: UUID, model_id: UUID
) -> SuggestedAlignmentAnswer:
    """An alignment to start from, each entry with its score and reason, and what stays open.

    Classes and features are brought together by their names: the same, the same in another form, a synonym, a broader
    name, a slip of the pen; and, where an embedding model is in the catalog, by about the same meaning.
    """
    return await service.suggest_alignment(works, principal, project_id, model_id)
