"""The content of a data row as bytes, or where else it is."""

from dataclasses import dataclass

from shared.database.tables import DataRowContentRow
from shared.images import MAX_BYTES
from shared.object_store import ObjectStore, key_of

_UNKNOWN = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class StoredContent:
    body: bytes
    media_type: str
    sha256: bytes | None


@dataclass(frozen=True, slots=True)
class ContentElsewhere:
    uri: str


async def read_content(store: ObjectStore, row: DataRowContentRow) -> StoredContent | ContentElsewhere:
    """Raises NotFound when the object is not in the store."""
    if row.uri is None:
        return StoredContent((row.text or "").encode(), "text/plain; charset=utf-8", row.sha256)
    key = key_of(row.uri)
    if key is None:
        return ContentElsewhere(row.uri)
    return StoredContent(await store.get(key, MAX_BYTES), row.mime_type or _UNKNOWN, row.sha256)
