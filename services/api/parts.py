"""Whether the parts that the api needs answer."""

import asyncio
from collections.abc import Awaitable

from pydantic import BaseModel, Field
from sqlalchemy import text

from services.api.resources import Resources

_PATIENCE_SECONDS = 2.0


class PartHealth(BaseModel):
    ok: bool
    required: bool = Field(description="whether nothing works without it")
    detail: str = Field(description="what follows when it is away; empty while it answers")


async def ask_parts(resources: Resources) -> dict[str, PartHealth]:
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
