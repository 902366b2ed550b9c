"""What became of every line, or of every record of a document: NDJSON in the object store, in parts.

A part is written before the step that it is about commits, and again when that step is done again, so that whoever
reads it later sees what was committed.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from services.api.exchange.formats.base import Place, Refused
from shared.object_store import ObjectStore

FOLDER = "exchange"
MOST_ERRORS_SHOWN = 100
_REFUSALS = 0


def upload_key(workspace_id: UUID, upload_id: UUID) -> str:
    return f"{FOLDER}/{workspace_id}/{upload_id}/upload"


def _part_key(workspace_id: UUID, upload_id: UUID, part: int) -> str:
    return f"{FOLDER}/{workspace_id}/{upload_id}/report/{part:05}.ndjson"


def line(place: Place, status: str, **more: Any) -> bytes:
    return orjson.dumps({"line": place, "status": status, **more}, default=str, option=orjson.OPT_APPEND_NEWLINE)


def refused_line(place: Place, own_id: str | None, error: Refused) -> bytes:
    said = {"code": error.code, "detail": error.detail, "pointer": error.pointer}
    return line(place, "failed", id=own_id, error=said)


@dataclass(slots=True)
class Tally:
    """Counts of what was read. `errors` are the first of what was refused."""

    read: int = 0
    refused: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, place: Place, own_id: str | None, error: Refused) -> bytes:
        self.refused += 1
        if len(self.errors) < MOST_ERRORS_SHOWN:
            self.errors.append({"line": place, "id": own_id, "code": error.code, "detail": error.detail[:500],
                                "pointer": error.pointer})  # fmt: skip
        return refused_line(place, own_id, error)


@dataclass(frozen=True, slots=True)
class Report:
    store: ObjectStore
    workspace_id: UUID
    upload_id: UUID

    async def refusals(self, pieces: AsyncIterator[bytes]) -> None:
        await self.store.put_stream(_part_key(self.workspace_id, self.upload_id, _REFUSALS), pieces)

    async def bucket(self, number: int, lines: Sequence[bytes]) -> None:
        async def content() -> AsyncIterator[bytes]:
            yield b"".join(lines)

        if lines:
            await self.store.put_stream(_part_key(self.workspace_id, self.upload_id, number + 1), content())

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, part by part."""
        folder = f"{FOLDER}/{self.workspace_id}/{self.upload_id}/report"
        keys = sorted([found.key async for found in self.store.list(folder)])
        for key in keys:
            async for piece in self.store.pieces(key):
                yield piece
