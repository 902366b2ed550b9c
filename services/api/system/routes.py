"""How the installation is."""

from fastapi import APIRouter, Request

from services.api.dependencies import Admin, Reader, resources_of
from services.api.problems import problems
from services.api.system import service
from services.api.system.schemas import System

router = APIRouter(prefix="/v1", tags=["system"])


@router.get("/system", responses=problems())
async def get_system(principal: Admin, session: Reader, request: Request) -> System:
    """Versions, whether the parts answer, what waits, which processes live, and the state of every model.

    Queues and models are the workspace's own; admins of a workspace in `OPERATOR_WORKSPACE_IDS` see those of all.
    """
    return await service.describe_system(session, principal, resources_of(request))
