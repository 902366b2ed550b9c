"""Embeddings of names. The api runs no model: it writes down which names it wants, and a worker embeds them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np
from sqlalchemy import delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_catalog.meanings import Meanings, Vector, spoken
from services.api.resources import OpenWork
from shared.contracts.jobs import Doorbell
from shared.database.tables import CatalogModelRow, NameEmbeddingRow
from shared.database.unit_of_work import UnitOfWork

Embeddings = Literal["used", "pending", "unavailable", "not_needed"]
WAIT_SECONDS = 1.5
_LOOK_SECONDS = 0.1
MOST_NAMES = 2_000
MOST_KEPT = 20_000
"""A workspace's; the oldest go first and are asked for again when they are needed."""


@dataclass(slots=True)
class NameCollector:
    """Stands in for the likeness of meanings, and notes which names it would be asked about."""

    names: set[str]

    def __call__(self, classes: Sequence[str], names: Sequence[str]) -> tuple[()]:
        if classes and names:
            self.names.update(classes, names)
        return ()


async def find_meanings(works: OpenWork, workspace_id: UUID, names: Collection[str]) -> tuple[Embeddings, Meanings]:
    """Waits a moment for what is missing. Without all of it there are no meanings: nothing is to depend on chance."""
    wanted = {spoken(name) for name in names} - {""}
    if not wanted:
        return "not_needed", Meanings({})
    if len(wanted) > MOST_NAMES:
        return "unavailable", Meanings({})
    async with works() as work:
        model = await _find_model(work.session)
        if model is None:
            return "unavailable", Meanings({})
        digest = model.digest
        found = await _find(work.session, workspace_id, digest, wanted)
        missing = wanted - found.keys()
        if missing:
            if model.state != "ready":
                return "unavailable", Meanings({})
            await _want(work, workspace_id, digest, missing)
    found |= await _wait(works, workspace_id, digest, missing)
    return ("used", Meanings(found)) if wanted <= found.keys() else ("pending", Meanings({}))


async def _wait(works: OpenWork, workspace_id: UUID, digest: str, missing: set[str]) -> dict[str, Vector]:
    """No connection is held between two looks."""
    found: dict[str, Vector] = {}
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while missing and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)
        async with works() as work:
            found |= await _find(work.session, workspace_id, digest, missing)
        missing = missing - found.keys()
    return found


async def _find_model(session: AsyncSession) -> CatalogModelRow | None:
    """The newest built-in model that embeds texts."""
    return await session.scalar(
        select(CatalogModelRow)
        .where(
            CatalogModelRow.workspace_id.is_(None),
            CatalogModelRow.media_type == "text",
            CatalogModelRow.card["decoder"]["name"].astext == "embeddings",
        )
        .order_by(CatalogModelRow.id.desc())
        .limit(1)
    )


async def _find(session: AsyncSession, workspace_id: UUID, digest: str, texts: set[str]) -> dict[str, Vector]:
    found = await session.execute(
        select(NameEmbeddingRow.text, NameEmbeddingRow.vector).where(
            NameEmbeddingRow.workspace_id == workspace_id,
            NameEmbeddingRow.digest == digest,
            NameEmbeddingRow.text.in_(texts),
            NameEmbeddingRow.vector.is_not(None),
        )
    )
    return {text: np.frombuffer(vector, "<f4") for text, vector in found if vector is not None}


async def _want(work: UnitOfWork, workspace_id: UUID, digest: str, missing: set[str]) -> None:
    rows: list[Mapping[str, object]] = [
        {"workspace_id": workspace_id, "digest": digest, "text": text} for text in sorted(missing)
    ]
    await work.session.execute(insert(NameEmbeddingRow).on_conflict_do_nothing(), rows)
    oldest = (
        select(NameEmbeddingRow.digest, NameEmbeddingRow.text)
        .where(NameEmbeddingRow.workspace_id == workspace_id)
        .order_by(NameEmbeddingRow.created_at.desc(), NameEmbeddingRow.text)
        .offset(MOST_KEPT)
    )
    await work.session.execute(
        delete(NameEmbeddingRow).where(
            NameEmbeddingRow.workspace_id == workspace_id,
            tuple_(NameEmbeddingRow.digest, NameEmbeddingRow.text).in_(oldest),
        )
    )
    work.ring(Doorbell.PREVIEWS)
