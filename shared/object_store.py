"""Bytes of data rows and models. This is the only module that knows obstore."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, from_url
from obstore.store import ObjectStore as AnyStore

from shared.errors import NotFound, TooLarge, Unavailable

SCHEME = "store://"
_SILENT = "the object store does not answer"
_LONGEST_CALL_SECONDS, _LONGEST_TRANSFER_SECONDS = 30.0, 600.0
# A call that takes too long raises TimeoutError, which is an OSError.
_AWAY = (BaseError, OSError)
_LONGEST_CHECK_SECONDS = 10.0
_LONGEST_KEY, _LONGEST_PART = 1024, 255
_PIECE_BYTES, _PIECES_AT_ONCE = 5 * 1024 * 1024, 2
_LISTED_AT_ONCE = 100
_REMOVED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class StoredObject:
    key: str
    changed_at: datetime


class ObjectStore:
    """Objects by key. Their URIs (`store://<key>`) stand in data rows; keys begin with the workspace's id."""

    def __init__(self, url: str) -> None:
        self._folder = Path(urlsplit(url).path) if url.startswith("file://") else None
        self._store: AnyStore = _local(self._folder) if self._folder else from_url(url)

    async def put(self, key: str, content: bytes | AsyncIterator[bytes] | Iterable[bytes]) -> str:
        """Store it under a key that names its content, and give its URI. What is there already stays.

        Raises Unavailable.
        """
        try:
            async with asyncio.timeout(_LONGEST_CALL_SECONDS):
                await self._store.put_async(key, content, mode="create")
        except AlreadyExistsError:
            pass
        except _AWAY as error:
            raise _unavailable(error) from error
        return uri_of(key)

    async def get(self, key: str, max_bytes: int) -> bytes:
        """Raises NotFound, Unavailable, or TooLarge before more than `max_bytes` are read.

        An object that is missing since the whole folder or bucket is gone is Unavailable.
        """
        if not _can_exist(key):
            raise NotFound("no object has such a key", code="content_not_found")
        try:
            async with asyncio.timeout(_LONGEST_CALL_SECONDS):
                found = await self._store.get_async(key)
                if found.meta["size"] <= max_bytes:
                    return bytes(await found.bytes_async())
        except (FileNotFoundError, ValueError) as error:
            await self.check()
            raise NotFound("the object is not in the store", code="content_not_found") from error
        except _AWAY as error:
            raise _unavailable(error) from error
        detail = f"the object has {found.meta['size']} bytes; at most {max_bytes} are read"
        raise TooLarge(detail, code="content_too_large")

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Store what comes, however slowly, a few pieces in memory at a time; what was there is replaced.

        What `pieces` raises comes through, and nothing is stored then. Raises Unavailable.
        """
        async with _reaching(None):
            await self._store.put_async(key, pieces, chunk_size=_PIECE_BYTES, max_concurrency=_PIECES_AT_ONCE)

    async def pieces(self, key: str) -> AsyncIterator[bytes]:
        """The object, piece by piece. Raises NotFound or Unavailable."""
        async with _reaching(_LONGEST_TRANSFER_SECONDS):
            found = await self._store.get_async(key)
            async for piece in found.stream(min_chunk_size=_PIECE_BYTES):
                yield bytes(piece)

    async def has(self, key: str) -> bool:
        """Raises Unavailable."""
        try:
            async with _reaching(_LONGEST_CALL_SECONDS):
                await self._store.head_async(key)
        except NotFound:
            return False
        return True

    async def move(self, key: str, to: str) -> None:
        """When it was moved already, nothing happens. Raises NotFound or Unavailable."""
        try:
            async with _reaching(_LONGEST_TRANSFER_SECONDS):
                await self._store.rename_async(key, to)
        except NotFound:
            if not await self.has(to):
                raise

    async def list(self, folder: str) -> AsyncIterator[StoredObject]:
        """What lies in it, at any depth. Raises Unavailable."""
        async with _reaching(_LONGEST_TRANSFER_SECONDS):
            async for found in self._store.list(folder, chunk_size=_LISTED_AT_ONCE):
                for one in found:
                    yield StoredObject(one["path"], one["last_modified"])

    async def remove(self, keys: Iterable[str]) -> None:
        """Some at a time; what is not there is left out. Raises Unavailable, when some may be gone."""
        places = asyncio.Semaphore(_REMOVED_AT_ONCE)

        async def remove(key: str) -> None:
            async with places, _reaching(_LONGEST_CALL_SECONDS):
                with suppress(FileNotFoundError):
                    await self._store.delete_async(key)

        done = await asyncio.gather(*map(remove, keys), return_exceptions=True)
        for error in done:
            if error is not None:
                raise error

    async def remove_folder(self, folder: str) -> None:
        """Everything in it. Raises Unavailable."""
        await self.remove([one.key async for one in self.list(folder)])

    async def remove_unfinished(self, folder: str, before: datetime) -> int:
        """What processes that died were storing in it, last written before; says how much that was.

        Of a store that is a folder here, where nothing else finds it. A bucket has rules of its own for that.
        """
        if self._folder is None:
            return 0
        return await asyncio.to_thread(_remove_unfinished, self._folder / folder, before.timestamp())

    async def check(self) -> None:
        """Whether it is there and answers, whatever lies in it. Raises Unavailable."""
        if self._folder is not None and not await asyncio.to_thread(self._folder.is_dir):
            raise Unavailable(f"{_SILENT}: its folder is gone")
        try:
            async with _reaching(_LONGEST_CHECK_SECONDS):
                async for _ in self._store.list("readiness-check", chunk_size=1):
                    break
        except NotFound as error:
            raise Unavailable(f"{_SILENT}: its bucket is gone") from error

    async def answers(self) -> bool:
        """Whether `check` finds nothing wrong."""
        try:
            await self.check()
        except Unavailable:
            return False
        return True


@asynccontextmanager
async def _reaching(seconds: float | None) -> AsyncIterator[None]:
    """What a store raises, in our words."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except FileNotFoundError as error:
        raise NotFound("the object is not in the store", code="content_not_found") from error
    except _AWAY as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> Unavailable:
    """In words that name no place: users read them."""
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError, PermissionError)):
        return Unavailable(f"{_SILENT}: permission denied")
    if isinstance(error, TimeoutError):
        return Unavailable(f"{_SILENT}: it took too long")
    return Unavailable(f"{_SILENT}: it cannot be reached")


def _can_exist(key: str) -> bool:
    # Longer ones are an error like any other to a store, and would be tried again for ever.
    return 0 < len(key.encode()) <= _LONGEST_KEY and all(len(part.encode()) <= _LONGEST_PART for part in key.split("/"))


def _local(folder: Path) -> LocalStore:
    folder.mkdir(parents=True, exist_ok=True)
    return LocalStore(folder)


def _remove_unfinished(folder: Path, before: float) -> int:
    removed = 0
    for path in folder.rglob("*#*"):
        with suppress(FileNotFoundError):
            if path.name.rpartition("#")[2].isdigit() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    return removed


def uri_of(key: str) -> str:
    return SCHEME + key


def key_of(uri: str) -> str | None:
    """The key a URI names; None when it is not one of the object store."""
    return uri.removeprefix(SCHEME) if uri.startswith(SCHEME) else None


def content_key(workspace_id: object, sha256_hex: str) -> str:
    """Where an upload lies: named by its content, so the same bytes are stored once a workspace."""
    return f"{workspace_id}/data-rows/{sha256_hex}"
