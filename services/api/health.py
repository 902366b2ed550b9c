"""`/livez` asks nobody, `/readyz` asks the parts, `/metrics` counts."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.api.dependencies import resources_of
from services.api.parts import PartHealth, ask_parts

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    ready: bool
    parts: dict[str, PartHealth]


@router.get("/livez")
async def get_liveness() -> Alive:
    """Whether the process answers. Asks no other part."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "A required part is away"}})
async def get_readiness(request: Request, response: Response) -> Readiness:
    """Whether requests can be served. Redis only carries hints, so it is reported and not required."""
    found = await ask_parts(resources_of(request))
    ready = all(part.ok for part in found.values() if part.required)
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, parts=found)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def get_metrics(request: Request) -> Response:
    """Metrics in the Prometheus text format."""
    metrics = request.app.state.metrics
    return Response(metrics.exposition(), media_type=metrics.content_type)
