"""Embeds the names that the api wants compared. It may be done twice, and a name nobody reads is only wasted work."""

import asyncio

import numpy as np
from sqlalchemy import delete, select, tuple_, update

from services.inference.failures import ModelUnusable, PartAway
from services.inference.served_models import ServedModels
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.tables import CatalogModelRow, NameEmbeddingRow
from shared.model_card import ModelCard, triton_name
from shared.run_configuration import RunConfiguration
from shared.telemetry import logger

_AT_ONCE = 128
_MAY_HEAL: tuple[type[Exception], ...] = (PartAway, *DATABASE_ERRORS)
_PAUSE_AFTER_FAILURE_SECONDS = 2.0

log = logger(__name__)


class NameEmbedder:
    def __init__(self, sessions: Sessions, models: ServedModels, poll_seconds: float) -> None:
        self._sessions = sessions
        self._models = models
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            self._woken.clear()
            try:
                if await self.embed_some():
                    continue
            except _MAY_HEAL as error:
                log.warning("names_not_embedded", error=type(error).__name__)
                await asyncio.sleep(_PAUSE_AFTER_FAILURE_SECONDS)
            await self._wait()

    async def embed_some(self) -> bool:
        """False when none was wanted of a model that is ready. Raises PartAway when Triton or the store is away."""
        async with self._sessions() as session:
            model = await session.scalar(
                select(CatalogModelRow)
                .join(NameEmbeddingRow, NameEmbeddingRow.digest == CatalogModelRow.digest)
                .where(
                    NameEmbeddingRow.vector.is_(None),
                    CatalogModelRow.state == "ready",
                    CatalogModelRow.workspace_id.is_(None),
                )
                .limit(1)
            )
            if model is None:
                return False
            # Of all workspaces: a text alone does not say whose it is, and has the same embedding for all.
            wanted = select(NameEmbeddingRow.text).where(
                NameEmbeddingRow.digest == model.digest, NameEmbeddingRow.vector.is_(None)
            )
            texts = list(await session.scalars(wanted.distinct().limit(_AT_ONCE)))
        await self._embed(model, texts)
        return True

    async def _embed(self, model: CatalogModelRow, texts: list[str]) -> None:
        try:
            served = await self._models.served(_configuration(model, texts))
        except ModelUnusable as error:
            # They are wanted again when somebody asks again; meanwhile they must not stand in the way of others.
            log.warning("names_not_embedded", error=str(error)[:300])
            await self._forget(model, texts)
            return
        vectors = served.vocabulary.embeddings
        assert vectors is not None, "an embedding model has an embedding for each of its criteria"
        async with self._sessions.begin() as session:
            for text, vector in sorted(zip(texts, vectors, strict=True)):
                await session.execute(
                    update(NameEmbeddingRow)
                    .where(
                        NameEmbeddingRow.digest == model.digest,
                        NameEmbeddingRow.text == text,
                        NameEmbeddingRow.vector.is_(None),
                    )
                    .values(vector=np.asarray(vector, "<f4").tobytes())
                )

    async def _forget(self, model: CatalogModelRow, texts: list[str]) -> None:
        keys = [(model.digest, text) for text in texts]
        async with self._sessions.begin() as session:
            await session.execute(
                delete(NameEmbeddingRow).where(
                    tuple_(NameEmbeddingRow.digest, NameEmbeddingRow.text).in_(keys), NameEmbeddingRow.vector.is_(None)
                )
            )

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._woken.wait()
        except TimeoutError:
            return


def _configuration(model: CatalogModelRow, texts: list[str]) -> RunConfiguration:
    """As of a run whose criteria are the names."""
    card = ModelCard.model_validate(model.card)
    return RunConfiguration(
        catalog_model_id=model.id,
        digest=model.digest,
        triton_model=triton_name(model.slug, model.digest),
        card=card,
        floor=card.floor,
        ontology_version=0,
        criteria={text: text for text in texts},
    )
