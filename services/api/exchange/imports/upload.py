"""An upload on its way into the object store: bounded, hashed, never held in memory."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

from services.api.exchange.imports.report import FOLDER, upload_key
from services.api.streaming import BrokenOff
from shared.errors import PrelabelError, TooLarge, Unavailable, Unprocessable
from shared.ids import new_id
from shared.object_store import ObjectStore

MAX_UPLOAD_BYTES = 4 * 1024**3


@dataclass(slots=True)
class Upload:
    """`id` names its folder in the object store."""

    store: ObjectStore
    workspace_id: UUID
    id: UUID = field(default_factory=new_id)
    size: int = 0
    _sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def digest(self) -> str:
        return self._sha256.hexdigest()

    async def receive(self, body: AsyncIterator[bytes]) -> None:
        """Raises Unprocessable for an empty body, TooLarge, Unavailable or BrokenOff; nothing stays then."""
        try:
            await self.store.put_stream(upload_key(self.workspace_id, self.id), self._measured(body))
        except (PrelabelError, BrokenOff):
            await self.discard()
            raise

    async def discard(self) -> None:
        # What cannot be removed now, the sweep of old uploads finds.
        with contextlib.suppress(Unavailable):
            await self.store.remove_folder(f"{FOLDER}/{self.workspace_id}/{self.id}")

    async def _measured(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in body:
            self.size += len(piece)
            if self.size > MAX_UPLOAD_BYTES:
                raise TooLarge(f"an upload has at most {MAX_UPLOAD_BYTES} bytes")
            self._sha256.update(piece)
            yield piece
        if not self.size:
            raise Unprocessable("the body is empty", code="empty_upload")
