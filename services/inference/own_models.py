"""Models of workspaces: out of the object store into a Triton that began anew, and away when they failed or went."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, update

from services.inference.failures import ModelRejected, PartAway
from services.inference.replicas import Replicas, States
from services.inference.triton import Triton
from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.model_registrations import REGISTERING
from shared.database.tables import CatalogModelRow
from shared.errors import NotFound, TooLarge, Unavailable
from shared.model_card import BuiltModel, ModelCard, triton_name
from shared.model_files import UPLOADS, WEIGHTS, model_file_key, model_files, upload_key
from shared.object_store import ObjectStore
from shared.telemetry import logger

# The worker of a registration that was cancelled may be in the middle of a step.
_FILES_KEPT_FOR = timedelta(seconds=15)
_SWEPT_EVERY, _UPLOADS_KEPT_FOR = timedelta(hours=1), timedelta(days=1)
_LARGEST = 2**31
_MAY_HEAL: tuple[type[Exception], ...] = (PartAway, ModelRejected, Unavailable, *DATABASE_ERRORS)

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class DeadModel:
    """One that failed or was deleted, and when."""

    model_id: UUID
    slug: str
    digest: str
    since: datetime
    cleaned_at: datetime | None


class OwnModels:
    def __init__(self, sessions: Sessions, store: ObjectStore, replicas: Replicas, load_seconds: float) -> None:
        self._sessions = sessions
        self._store = store
        self._replicas = replicas
        self._load_seconds = load_seconds
        # The file of a model is in memory several times while it is loaded.
        self._one_at_a_time = asyncio.Semaphore(1)
        self._cleaning: dict[UUID | None, asyncio.Task[None]] = {}
        self._swept_at = datetime.now(UTC)

    def loading(self, model_id: UUID) -> Callable[[Triton], Awaitable[None]]:
        return lambda replica: self._load(replica, model_id)

    def reloading(self, model_id: UUID) -> Callable[[Triton], Awaitable[None]]:
        async def reload(replica: Triton) -> None:
            built = await self._built(model_id)
            await replica.unload(built.triton_name)
            await asyncio.sleep(0.5)
            await self._load(replica, model_id)

        return reload

    def clean(self, dead: Sequence[DeadModel], states: Mapping[str, States]) -> None:
        """Begin to remove the traces of models that failed or were deleted, and now and then of uploads broken off."""
        now = datetime.now(UTC)
        for model in dead:
            name = triton_name(model.slug, model.digest)
            if any(name in known for known in states.values()):
                self._begin(model.model_id, self._unload(name))
            elif model.cleaned_at is None and now - model.since > _FILES_KEPT_FOR:
                self._begin(model.model_id, self._remove(model.model_id, model.digest))
        if now - self._swept_at > _SWEPT_EVERY:
            self._swept_at = now
            self._begin(None, self.sweep(now - _UPLOADS_KEPT_FOR))

    async def sweep(self, before: datetime) -> None:
        """Remove uploads of before then that nobody is registering: their request broke off."""
        old = {one.key.split("/")[2] async for one in self._store.list(UPLOADS) if one.changed_at < before}
        async with self._sessions() as session:
            registering = await session.scalars(select(CatalogModelRow.id).where(CatalogModelRow.state == REGISTERING))
            abandoned = old - {str(found) for found in registering}
        for model_id in abandoned:
            await self._store.remove_folder(f"{UPLOADS}{model_id}/")

    async def _load(self, replica: Triton, model_id: UUID) -> None:
        built = await self._built(model_id)
        async with self._one_at_a_time:
            try:
                weights = await self._store.get(model_file_key(built.digest, WEIGHTS), _LARGEST)
            except (NotFound, TooLarge) as error:
                raise ModelRejected(f"the model's file: {error.detail}") from error
            except Unavailable as error:
                raise PartAway(error.detail) from error
            await replica.load_with_weights(built, weights, self._load_seconds)

    async def _built(self, model_id: UUID) -> BuiltModel:
        async with self._sessions() as session:
            row = await session.get_one(CatalogModelRow, model_id)
            return BuiltModel(digest=row.digest, card=ModelCard.model_validate(row.card))

    def _begin(self, key: UUID | None, work: Coroutine[None, None, None]) -> None:
        if key in self._cleaning:
            work.close()
            return
        self._cleaning[key] = asyncio.create_task(self._clean(key, work))

    async def _clean(self, key: UUID | None, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except _MAY_HEAL as error:
            log.warning("model_not_cleaned", model=str(key), error=f"{type(error).__name__}: {error}"[:300])
        finally:
            del self._cleaning[key]

    async def _unload(self, name: str) -> None:
        for replica in (await self._replicas.all()).values():
            await replica.unload(name)
        log.info("model_unloaded", model=name)

    async def _remove(self, model_id: UUID, digest: str) -> None:
        await self._store.remove_folder(model_files(digest))
        await self._store.remove_folder(upload_key(model_id, ""))
        async with self._sessions.begin() as session:
            gone = update(CatalogModelRow).where(CatalogModelRow.id == model_id)
            await session.execute(gone.values(cleaned_at=func.clock_timestamp()))
        log.info("model_files_removed", model=str(model_id))
