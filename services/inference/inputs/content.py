"""Bytes and texts of data rows, and the facts their first reader finds out."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from services.inference.failures import RowFailed, StoreAway
from shared.database.driver import driver_of
from shared.database.engine import Sessions
from shared.egress import ContentUnavailable, Egress
from shared.errors import NotFound, TooLarge, Unavailable
from shared.images import MAX_BYTES
from shared.object_store import ObjectStore, key_of

_PAUSES_SECONDS = (0.2, 1.0)
_SHORT = 16 * 1024
_FEW_BYTES = 256

# A statement for each few hundred rows. Long texts are read when their turn comes: many at once could be any size.
_FIND = f"""
    SELECT data_row_id, uri, CASE WHEN octet_length(text) <= {_SHORT} THEN text END, sha256,
           coalesce(byte_size, octet_length(text))
    FROM data_row_contents WHERE data_row_id = ANY($1)
"""


# Not frozen, as nothing that is made for each row: a frozen one takes three times as long to make.
@dataclass(slots=True)
class Stored:
    """Where a row's content is; with neither `uri` nor `text` it is a long text that is still to be read.

    `sha256` and `byte_size` are what its first reader saw.
    """

    data_row_id: UUID
    uri: str | None
    text: str | None
    sha256: bytes | None
    byte_size: int | None

    @property
    def is_long_text(self) -> bool:
        return self.uri is None and self.text is None

    @property
    def most_bytes(self) -> int:
        """What reading it may take at most."""
        if self.text is not None:
            return 4 * len(self.text)
        return MAX_BYTES if self.byte_size is None else min(self.byte_size, MAX_BYTES)


@dataclass(slots=True)
class Content:
    data_row_id: UUID
    body: bytes
    sha256: bytes
    first_read: bool

    def without_body(self) -> "Content":
        """What is still wanted once it is prepared: a body may be large."""
        if len(self.body) <= _FEW_BYTES:
            return self
        return Content(self.data_row_id, b"", self.sha256, self.first_read)


@dataclass(slots=True)
class Facts:
    """Written once to `data_row_contents`; pixels of the oriented image, or code points of the text."""

    mime_type: str
    byte_size: int
    width: int | None = None
    height: int | None = None
    length: int | None = None


class ContentReader:
    def __init__(self, store: ObjectStore, egress: Egress) -> None:
        self._store = store
        self._egress = egress

    async def read(self, row: Stored) -> Content:
        """Raises RowFailed for what is the row's own fault, StoreAway when the object store did not answer."""
        if row.text is not None:
            return content_of(row, row.text.encode())
        return content_of(row, await self._fetch(row.uri or ""))

    async def store_answers(self) -> bool:
        """Whether the object store answers at all."""
        return await self._store.answers()

    async def _fetch(self, uri: str) -> bytes:
        key = key_of(uri)
        if key is None:
            return await self._ask_outside(uri)
        try:
            return await self._store.get(key, MAX_BYTES)
        except (NotFound, TooLarge) as error:
            raise RowFailed("fetch", error.code, error.detail) from error
        except Unavailable as error:
            raise StoreAway(error.detail) from error

    async def _ask_outside(self, uri: str) -> bytes:
        """A host that is away gets some tries and then costs its own rows only: nobody waits for it."""
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._egress.fetch(uri, MAX_BYTES)
            except ContentUnavailable as error:
                if not error.transient or attempts > len(_PAUSES_SECONDS):
                    raise RowFailed("fetch", error.code, error.detail, attempts=attempts) from error
            await asyncio.sleep(_PAUSES_SECONDS[attempts - 1])


def content_of(row: Stored, body: bytes) -> Content:
    """Raises RowFailed when it is not what was read first."""
    sha256 = hashlib.sha256(body).digest()
    if row.sha256 is not None and row.sha256 != sha256:
        raise RowFailed("fetch", "content_changed", "the content behind the URI is not what was read first")
    return Content(row.data_row_id, body, sha256, first_read=row.sha256 is None)


async def find_stored(sessions: Sessions, data_row_ids: Sequence[UUID]) -> dict[UUID, Stored]:
    async with sessions() as session:
        found = await (await driver_of(session)).fetch(_FIND, data_row_ids)
    return {row[0]: Stored(*row) for row in found}


async def find_long_text(sessions: Sessions, row: Stored) -> Stored:
    async with sessions() as session:
        wanted = "SELECT text FROM data_row_contents WHERE data_row_id = $1"
        return replace(row, text=await (await driver_of(session)).fetchval(wanted, row.data_row_id))
