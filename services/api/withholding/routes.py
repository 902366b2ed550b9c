"""A share of data rows that get no pre-labels, to measure what pre-labels change."""

from uuid import UUID

from fastapi import APIRouter

from services.api.dependencies import Editor, Reader, Work
from services.api.idempotency import IdempotentRoute
from services.api.problems import problems
from services.api.withholding import service
from services.api.withholding.schemas import Withholding, WithholdingUpdate

router = APIRouter(prefix="/v1", tags=["measures"], route_class=IdempotentRoute)


@router.put("/projects/{project_id}/withholding", responses=problems(404, 409))
async def set_withholding(principal: Editor, work: Work, project_id: UUID, wanted: WithholdingUpdate) -> Withholding:
    """Withhold the pre-labels of this share of the data rows that come to runs from now on.

    They are drawn at random when a run, preview or import is made, never from rows that had pre-labels or that somebody
    has worked on, and stay withheld. Everywhere they read like rows in which the model found nothing.
    """
    return await service.set_withholding(work, principal, project_id, wanted)


@router.get("/projects/{project_id}/withholding", responses=problems(404))
async def get_withholding(principal: Editor, session: Reader, project_id: UUID) -> Withholding:
    """The share that is withheld, and how many data rows that is so far."""
    return await service.get_withholding(session, principal, project_id)
