"""The recipe of a run: what its results are made by."""

from collections.abc import Set
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.inference.decoders import DECODERS
from services.inference.inputs import INPUTS_VERSION
from shared.database.tables import CatalogModelRow
from shared.fingerprint import Recipe
from shared.run_configuration import RunConfiguration


def processing_of(decoder: str) -> str | None:
    """Version of the code between a content and its detections; None for a decoder this worker does not know."""
    known = DECODERS.get(decoder)
    return None if known is None else f"inputs {INPUTS_VERSION}, {decoder} {known.version}"


def recipe_key(configuration: RunConfiguration) -> bytes | None:
    """None where no digest says which weights were asked: those of a server of others may change unseen."""
    processing = processing_of(configuration.card.decoder.name)
    if configuration.served_at is not None or processing is None:
        return None
    return Recipe(configuration.digest, processing, configuration.floor, configuration.criteria).key()


async def note_processing(session: AsyncSession, noted: Set[UUID]) -> frozenset[UUID]:
    """Write into the catalog how this worker uses each model that is not noted yet; answers those.

    So the api can tell which results are known. Workers of another version write theirs when they start.
    """
    row = CatalogModelRow
    found = await session.execute(
        select(row.id, row.processing, row.card["decoder"]["name"].astext).where(
            row.deleted_at.is_(None), row.id.not_in(noted)
        )
    )
    models = found.all()
    for model_id, present, decoder in models:
        processing = processing_of(decoder)
        if processing is not None and processing != present:
            await session.execute(update(row).where(row.id == model_id).values(processing=processing))
    return frozenset(model_id for model_id, _, _ in models)
