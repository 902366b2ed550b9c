"""The form of a registration while it arrives: the card is checked first, the model's bytes go to the object store."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_registration.card import needs_tokenizer, read_card, refused
from services.api.model_registration.service import Registered, Submission, check_room, register_model
from services.api.multipart import PartHead, Piece, content_of, stream_of
from services.api.resources import OpenWork
from services.api.settings import ApiSettings
from services.api.streaming import BrokenOff
from shared.class_names import ClassNamesUnreadable, names_of_config, names_of_labels_file
from shared.errors import FieldError, PrelabelError, TooLarge, Unavailable, Unprocessable
from shared.ids import new_id
from shared.model_card import ModelCard, digest_of
from shared.model_files import CONFIG, LABELS, MAX_FILE_BYTES, TOKENIZER, WEIGHTS, upload_key
from shared.object_store import ObjectStore

_CARD, _MODEL = "card", "model"
_BESIDE = {"labels": LABELS, "tokenizer": TOKENIZER, "config": CONFIG}
_MOST_PARTS = 20
_REST_SECONDS = 30


@dataclass(slots=True)
class ModelUpload:
    open_work: OpenWork
    principal: Principal
    store: ObjectStore
    settings: ApiSettings
    model_id: UUID = field(default_factory=new_id)
    _card: ModelCard | None = None
    _sha256: dict[str, bytes] = field(default_factory=dict)

    async def run(self, pieces: AsyncIterator[Piece]) -> Registered:
        """Raises what the client did wrong; nothing of a refused upload stays."""
        try:
            await self._read(pieces)
            async with self.open_work() as work:
                registered = await register_model(work, self.principal, self._submission())
        except (PrelabelError, BrokenOff) as error:
            await self._discard()
            if isinstance(error, PrelabelError) and not isinstance(error, Unavailable):
                await _hear_out(pieces)
            raise
        if registered.model.id != self.model_id:
            await self._discard()
        return registered

    async def _read(self, pieces: AsyncIterator[Piece]) -> None:
        parts = 0
        async for head in pieces:
            if not isinstance(head, PartHead):
                continue
            parts += 1
            if parts > _MOST_PARTS:
                raise TooLarge("there are more parts than a registration has", code="too_many_parts")
            if head.name == _CARD:
                await self._take_card(pieces)
            elif head.name == _MODEL:
                await self._take_model(pieces)
            elif head.name in _BESIDE:
                await self._take_beside(_BESIDE[head.name], pieces)
            else:
                raise _wrong("unknown_part", f"a registration has no part {head.name[:100]!r}")

    async def _take_card(self, pieces: AsyncIterator[Piece]) -> None:
        content = await content_of(pieces, self.settings.max_body_bytes)
        if content is None:
            raise TooLarge(f"the card has more than {self.settings.max_body_bytes} bytes")
        if self._card is not None:
            raise _wrong("part_twice", "there are two cards")
        card = await asyncio.to_thread(read_card, content)
        async with self.open_work() as work:
            await check_room(work, self.principal, card, self.settings.max_own_models)
        self._card = card

    async def _take_model(self, pieces: AsyncIterator[Piece]) -> None:
        if self._card is None:
            raise _wrong("card_first", "the card comes before the model, so that what is wrong in it is said at once")
        self._once(WEIGHTS)
        measured = _Measured(stream_of(pieces), self.settings.max_model_file_bytes)
        await self.store.put_stream(upload_key(self.model_id, WEIGHTS), measured.pieces())
        self._sha256[WEIGHTS] = measured.sha256

    async def _take_beside(self, name: str, pieces: AsyncIterator[Piece]) -> None:
        self._once(name)
        content = await content_of(pieces, MAX_FILE_BYTES)
        if content is None:
            raise TooLarge(f"{name} has more than {MAX_FILE_BYTES} bytes")
        try:
            await asyncio.to_thread(_READ[name], content)
        except ClassNamesUnreadable as error:
            raise _wrong("unreadable_file", str(error)) from error
        await self.store.put(upload_key(self.model_id, name), content)
        self._sha256[name] = hashlib.sha256(content).digest()

    def _once(self, name: str) -> None:
        if name in self._sha256:
            raise _wrong("part_twice", f"there are two parts for {name}")

    def _submission(self) -> Submission:
        card = self._card
        if card is None:
            raise _wrong("card_missing", "there is no part `card`")
        if WEIGHTS not in self._sha256:
            raise _wrong("model_missing", "there is no part `model`")
        if needs_tokenizer(card) and TOKENIZER not in self._sha256:
            detail = "preprocessing `tokenized` needs the part `tokenizer`"
            raise refused([FieldError("/preprocessing", "tokenizer_missing", detail)])
        return Submission(self.model_id, card, digest_of(card, self._sha256), tuple(sorted(self._sha256)))

    async def _discard(self) -> None:
        # What cannot be removed now, the sweep of the inference service finds.
        with contextlib.suppress(Unavailable):
            await self.store.remove_folder(upload_key(self.model_id, ""))


class _Measured:
    """Bytes on their way: counted, bounded and hashed."""

    def __init__(self, pieces: AsyncIterable[bytes], max_bytes: int) -> None:
        self._pieces = pieces
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()

    @property
    def sha256(self) -> bytes:
        return self._sha256.digest()

    async def pieces(self) -> AsyncIterator[bytes]:
        seen = 0
        async for piece in self._pieces:
            seen += len(piece)
            if seen > self._max_bytes:
                raise TooLarge(f"the model has more than {self._max_bytes} bytes", code="model_too_large")
            self._sha256.update(piece)
            yield piece
        if not seen:
            raise _wrong("model_empty", "the part `model` is empty")


def _json_object(content: bytes) -> None:
    try:
        if not isinstance(json.loads(content), dict):
            raise ClassNamesUnreadable("tokenizer.json is no JSON object")
    except (ValueError, RecursionError) as error:
        if isinstance(error, ClassNamesUnreadable):
            raise
        raise ClassNamesUnreadable("tokenizer.json is not JSON") from error


_READ: Mapping[str, Callable[[bytes], object]] = {
    LABELS: names_of_labels_file,
    CONFIG: names_of_config,
    TOKENIZER: _json_object,
}


async def _hear_out(pieces: AsyncIterator[Piece]) -> None:
    """Many clients look at the answer only when they have sent everything."""
    with contextlib.suppress(PrelabelError, BrokenOff, TimeoutError):
        async with asyncio.timeout(_REST_SECONDS):
            async for _ in pieces:
                pass


def _wrong(code: str, detail: str) -> Unprocessable:
    return Unprocessable(detail, code=code, errors=[FieldError("", code, detail)])
