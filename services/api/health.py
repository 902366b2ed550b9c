"""`/livez` asks nobody, `/readyz` asks the parts, `/metrics` counts."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy import text

from services.api.dependencies import resources_of
from services.api.resources import Resources

router = APIRouter(tags=["health"])
_PATIENCE_SECONDS = 2.0


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class PartHealth(BaseModel):
    ok: bool
    required: bool
    detail: str


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
    found = await _parts(resources_of(request))
    ready = all(part.ok for part in found.values() if part.required)
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, parts=found)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def get_metrics(request: Request) -> Response:
    """Metrics in the Prometheus text format."""
    metrics = request.app.state.metrics
    return Response(metrics.exposition(), media_type=metrics.content_type)


async def _parts(resources: Resources) -> dict[str, PartHealth]:
    postgresql, redis, store = await asyncio.gather(
        _ask(_ask_database(resources), required=True, away="nothing works without it"),
        _ask(
            resources.signals.queue.ping(), required=False, away="hints are late by up to two seconds, nothing is lost"
        ),
        _ask(resources.store.check(), required=False, away="uploads and contents fail, the rest works"),
    )
    return {"postgresql": postgresql, "redis": redis, "object_store": store}


async def _ask(check: Awaitable[None], *, required: bool, away: str) -> PartHealth:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await check
    except Exception as error:  # each part fails in its own way, and each way means the same here
        return PartHealth(ok=False, required=required, detail=f"{type(error).__name__}: {away}")
    return PartHealth(ok=True, required=required, detail="")


async def _ask_database(resources: Resources) -> None:
    async with resources.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
