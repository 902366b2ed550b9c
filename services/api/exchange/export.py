"""An export on its way: blocks of data rows out of one snapshot of the database, written down by a format."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from services.api.exchange.formats.base import ExchangeFormat, Exporting
from services.api.exchange.losses import NOT_HELD, Losses
from services.api.exchange.rows import LabelledRow, LabelRecord, What
from services.api.exchange.sources import Source
from services.api.exchange.vocabulary import Vocabulary
from shared.database.tables import ProjectRow
from shared.preprocessing import MediaType


@dataclass(slots=True)
class Export:
    """Counts what it gives. What the format has no place for is left out and counted as lost."""

    format: ExchangeFormat
    source: Source
    losses: Losses
    data_rows: int = 0
    labels: int = 0
    _missing: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._missing = frozenset(_OF_RECORD) - self.format.holds.keys()

    async def pieces(self, exporting: Exporting) -> AsyncIterator[bytes]:
        """The file. Flat in memory whatever its size."""
        assert self.format.write is not None
        writer = self.format.write(exporting)
        try:
            for piece in writer.begin():
                yield piece
            last: UUID | None = None
            while rows := await self.source.after(last):
                last = rows[-1].row.id
                for piece in await asyncio.to_thread(lambda block: list(writer.rows(self._held(block))), rows):
                    yield piece
            ending = iter(writer.end())
            while (piece := await asyncio.to_thread(next, ending, b"")) != b"":
                yield piece
        finally:
            writer.close()

    def _held(self, rows: Sequence[LabelledRow]) -> list[LabelledRow]:
        return [replace(row, labels=list(self._records(row))) for row in rows]

    def _records(self, row: LabelledRow) -> Iterator[LabelRecord]:
        self.data_rows += 1
        if row.row.metadata and "metadata" not in self.format.holds:
            self.losses.count("metadata", NOT_HELD)
        if row.decisions and "decisions" not in self.format.holds:
            self.losses.count("decisions", NOT_HELD, len(row.decisions))
        for record in row.labels:
            for aspect in self._missing:
                if _OF_RECORD[aspect](record, self.format.name):
                    self.losses.count(aspect, NOT_HELD)
            kind = record.annotation.kind
            if kind in self.format.holds:
                self.labels += 1
                yield record
            else:
                self.losses.count(kind, NOT_HELD)


_OF_RECORD: dict[str, Any] = {
    "answers": lambda record, name: record.answers,
    "confidence": lambda record, name: record.confidence is not None,
    "provenance": lambda record, name: record.provenance,
    "ids": lambda record, name: record.id is not None,
    "extras": lambda record, name: any(other != name for other in record.extras),
}
"""Whether a record has what a format may lack."""


def exporting_of(project: ProjectRow, what: What, vocabulary: Vocabulary, losses: Losses, options: object) -> Exporting:
    media_type: MediaType = "text" if project.media_type == "text" else "image"
    return Exporting(project.id, project.name, media_type, what, vocabulary, losses, options)
