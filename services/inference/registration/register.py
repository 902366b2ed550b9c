"""The operation `model_registration`. Each of its stages may be done again, so a killed worker leaves nothing half."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, TypeVar
from uuid import UUID

from services.inference.decoders import decode_batch
from services.inference.failures import ModelRejected, ModelUnusable, PartAway
from services.inference.machinery import Machinery
from services.inference.neutral import neutral_batch
from services.inference.registration.checks import decoder_problems, inspect_apart, settled_card
from services.inference.registration.refusal import ModelRefused
from services.inference.replicas import Replicas
from services.inference.served_models import ServedModels
from services.inference.tensors import BadModelOutput
from shared.contracts.events import ModelReady
from shared.database.model_registrations import KIND, lock_registering
from shared.errors import NotFound, Unavailable
from shared.model_card import BuiltModel, ModelCard, own_digest, triton_name
from shared.model_files import CONFIG, LABELS, MAX_FILE_BYTES, WEIGHTS, model_file_key, upload_key
from shared.operations import Handler, RunningOperation
from shared.run_configuration import RunConfiguration
from shared.served_at import Pin, ServedAt

_TRIES = 3
_PATIENCE_SECONDS = 30
_PAUSE_SECONDS = 1.0
_ROWS = 2
_CRITERIA = {"example": "an example"}

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The entry as it was asked for; `files` are the names of what was uploaded."""

    model_id: UUID
    digest: str
    card: ModelCard
    served_at: ServedAt | None
    files: tuple[str, ...]

    def configuration(self, card: ModelCard) -> RunConfiguration:
        """As a run's, for the probe."""
        return RunConfiguration(
            catalog_model_id=self.model_id,
            digest=self.digest,
            triton_model=triton_name(card.slug, self.digest),
            card=card,
            floor=card.floor,
            ontology_version=0,
            criteria=_CRITERIA if card.open_ended else {},
            served_at=self.served_at,
        )


@dataclass(frozen=True, slots=True)
class _Settled:
    card: ModelCard
    digest: str
    pin: Pin | None = None


class Registrar:
    def __init__(self, machinery: Machinery, models: ServedModels, replicas: Replicas) -> None:
        self._parts = machinery
        self._models = models
        self._replicas = replicas
        # A model's file is in memory several times while it is loaded.
        self._one_at_a_time = asyncio.Lock()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Every kind of operation the inference service runs."""
        return {KIND: self.register}

    async def register(self, operation: RunningOperation) -> None:
        wanted = await self._wanted(operation)
        if wanted.served_at is not None:
            settled = await self._of_others(operation, wanted, wanted.served_at)
        else:
            async with self._one_at_a_time:
                settled = await self._own(operation, wanted)
        async with operation.step() as work:
            row = await lock_registering(work.session, operation.parameters)
            if row is None:
                raise ModelRefused("the entry is not open any more")
            row.card, row.digest = settled.card.model_dump(mode="json"), settled.digest
            if settled.pin is not None:
                row.pin = settled.pin.model_dump(mode="json")
            row.state, row.state_reason = "ready", None
            work.emit(
                ModelReady(
                    workspace_id=operation.claim.workspace_id,
                    model_id=row.id,
                    slug=row.slug,
                    model_version=row.version,
                )
            )
            result = {"model_id": str(row.id), "classes": len(settled.card.classes)}
            await operation.report(work, done=4, total=4, stage="probing")
            await operation.succeed(work, {**result, "classes_from": settled.card.classes_from})

    async def _wanted(self, operation: RunningOperation) -> _Wanted:
        async with operation.step() as work:
            row = await lock_registering(work.session, operation.parameters)
            if row is None:
                raise ModelRefused("the entry is not open any more")
            served_at = None if row.served_at is None else ServedAt.model_validate(row.served_at)
            await operation.report(work, done=0, total=4, stage="checking")
            return _Wanted(
                row.id,
                row.digest,
                ModelCard.model_validate(row.card),
                served_at,
                tuple(operation.parameters.get("files", ())),
            )

    async def _own(self, operation: RunningOperation, wanted: _Wanted) -> _Settled:
        with tempfile.TemporaryFile(prefix="prelabel-model-") as file:  # which nobody has to remove after a kill -9
            await self._fetch(wanted, file)
            inspection = await inspect_apart(file, wanted.card, self._parts.settings)
            beside = {name: await self._small_file(wanted, name) for name in (LABELS, CONFIG) if name in wanted.files}
            card = await self._parts.in_thread(partial(settled_card, wanted.card, inspection, beside))
            await _begin(operation, "storing", done=1)
            for name in wanted.files:
                await self._store(wanted, name)
            await _begin(operation, "loading", done=2)
            await self._load(BuiltModel(digest=wanted.digest, card=card), file)
        await _begin(operation, "probing", done=3)
        await self._tried("answered the probe", partial(self._probe, wanted.configuration(card)))
        return _Settled(card, wanted.digest)

    async def _of_others(self, operation: RunningOperation, wanted: _Wanted, where: ServedAt) -> _Settled:
        card, servers = wanted.card, self._parts.servers
        with _as_refusal():
            server = servers.at(where)
            problems = await self._parts.in_thread(partial(decoder_problems, card))
            problems += await _patiently_asked(where, partial(server.problems, where, card))
            if problems:
                raise ModelRefused.because(problems)
            await _begin(operation, "probing", done=3)
            pin = await _patiently_asked(where, partial(server.pin, where, card))
            await _patiently_asked(where, partial(self._probe, wanted.configuration(card)))
        return _Settled(card, own_digest(wanted.model_id, wanted.digest + pin.model_dump_json()), pin)

    async def _fetch(self, wanted: _Wanted, file: IO[bytes]) -> None:
        async with self._pieces(wanted, WEIGHTS) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(file.write, piece)
        file.flush()

    async def _small_file(self, wanted: _Wanted, name: str) -> bytes:
        content = bytearray()
        async with self._pieces(wanted, name) as pieces:
            async for piece in pieces:
                content += piece
                if len(content) > MAX_FILE_BYTES:
                    raise ModelRefused(f"{name} is too large")
        return bytes(content)

    @asynccontextmanager
    async def _pieces(self, wanted: _Wanted, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Of a file that an earlier attempt may have moved already."""
        stored = model_file_key(wanted.digest, name)
        there = await self._parts.store.has(stored)
        try:
            yield self._parts.store.pieces(stored if there else upload_key(wanted.model_id, name))
        except NotFound as error:
            raise ModelRefused(f"the uploaded file {name} is gone") from error

    async def _store(self, wanted: _Wanted, name: str) -> None:
        try:
            await self._parts.store.move(upload_key(wanted.model_id, name), model_file_key(wanted.digest, name))
        except NotFound as error:
            raise ModelRefused(f"the uploaded file {name} is gone") from error

    async def _load(self, built: BuiltModel, file: IO[bytes]) -> None:
        file.seek(0)
        weights = await asyncio.to_thread(file.read)
        seconds = self._parts.settings.model_load_seconds

        async def load() -> None:
            for replica in (await self._replicas.all()).values():
                await replica.load_with_weights(built, weights, seconds)

        await self._tried("loaded the model", load)

    async def _probe(self, configuration: RunConfiguration) -> None:
        """One real inference, decoded. Raises ModelRefused."""
        with _as_refusal():
            model = await self._models.served(configuration)
            rows = min(_ROWS, model.card.max_batch_size)
            batch = await self._parts.in_thread(partial(neutral_batch, model, rows))
            outputs = await self._parts.servers.infer(configuration, batch.tensors)
            placements = [row.placement for row in batch.rows]
            await self._parts.in_thread(partial(decode_batch, model, outputs, placements))

    async def _tried(self, what: str, call: Callable[[], Awaitable[None]]) -> None:
        """Triton may be away, for which no model is to blame; a model that takes it away each time is."""
        last = ""
        for _ in range(_TRIES):
            await self._until_triton_answers()
            try:
                with _as_refusal():
                    await call()
            except PartAway as error:
                last = _words(error)
            else:
                return
        raise ModelRefused(f"Triton failed {_TRIES} times before it had {what}: {last}")

    async def _until_triton_answers(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while True:
                    try:
                        await self._replicas.states()
                    except PartAway:
                        await asyncio.sleep(_PAUSE_SECONDS)
                    else:
                        return
        except TimeoutError as error:
            raise Unavailable("Triton does not answer") from error


class _as_refusal:
    """What says that this model cannot be used is the end of its registration."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BadModelOutput):
            raise ModelRefused(f"the probe's answer cannot be used: {_words(error)}") from error
        if isinstance(error, ModelRejected):
            raise ModelRefused(f"the server refuses the model: {_words(error)}") from error
        if isinstance(error, ModelUnusable):
            raise ModelRefused(_words(error)) from error


async def _patiently_asked(where: ServedAt, call: Callable[[], Awaitable[Result]]) -> Result:
    last = ""
    for _ in range(_TRIES):
        try:
            return await call()
        except PartAway as error:
            last = _words(error)
        await asyncio.sleep(_PAUSE_SECONDS)
    raise ModelRefused(f"{where.address} does not answer for the model {where.model!r}: {last}")


async def _begin(operation: RunningOperation, stage: str, done: int) -> None:
    async with operation.step() as work:
        await operation.report(work, done=done, total=4, stage=stage)


def _words(error: Exception) -> str:
    """Without the trace that the server's Python adds."""
    return str(error).split("\n\nAt:", maxsplit=1)[0].replace("\0", "").strip()[:500]
