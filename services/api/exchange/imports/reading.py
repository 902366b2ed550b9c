"""Reading an upload: pieces in its order, each with its data row, and what is in it into the spill.

Bounded in memory: some thousand pieces at a time, records on disk. The event loop only waits; reading is in a thread.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO, TypeAlias

from services.api.exchange import queries
from services.api.exchange.formats.base import (
    Piece,
    Reader,
    Refusal,
    Refused,
    UnusableUpload,
)
from services.api.exchange.histories import History
from services.api.exchange.imports.report import Report, Tally
from services.api.exchange.imports.spill import Record, Spill
from services.api.exchange.rows import LabelRecord, RowFacts
from shared.database.tables import ProjectRow
from shared.errors import Unprocessable
from shared.operations import RunningOperation

_PIECES_AT_ONCE = 5_000

Take: TypeAlias = Callable[[Piece, RowFacts, Any], Record]
"""What is spilled of a record, or of a data row that is said to have none (None). Raises Refused."""


@dataclass(slots=True)
class Reading:
    operation: RunningOperation
    project: ProjectRow
    reader: Reader
    take: Take
    spill: Spill
    tally: Tally = field(default_factory=Tally)
    _refusals: BinaryIO = field(default_factory=tempfile.TemporaryFile)

    async def run(self, report: Report) -> None:
        """Raises Unprocessable when the upload is not of its format."""
        pieces = self.reader.pieces()
        with self._refusals:
            while block := await asyncio.to_thread(_next, pieces):
                rows = await self._find(block)
                await asyncio.to_thread(self._read, block, rows)
            await report.refusals(self._said())

    async def _find(self, block: Sequence[Piece | Refusal]) -> Mapping[object, RowFacts]:
        """By id and by global key."""
        references = [one.row for one in block if isinstance(one, Piece)]
        keys = list({one.global_key for one in references if one.global_key is not None})
        ids = list({one.id for one in references if one.id is not None})
        async with self.operation.step() as work:
            rows = await queries.find_rows(work.session, self.project, keys, ids)
            await self.operation.report(work, self.tally.read, None, "reading")
        return {row.global_key: row for row in rows} | {row.id: row for row in rows}

    def _read(self, block: Iterable[Piece | Refusal], rows: Mapping[object, RowFacts]) -> None:
        for one in block:
            if isinstance(one, Refusal):
                self._refuse(one)
                continue
            row = rows.get(one.row.id or one.row.global_key)
            if row is None:
                called = one.row.global_key or one.row.id
                error = Refused("unknown_data_row", f"the project has no data row {str(called)[:300]!r}")
                self._refuse(Refusal(one.place, error, one.id))
            else:
                self._read_piece(one, row)

    def _read_piece(self, piece: Piece, row: RowFacts) -> None:
        found = 0
        try:
            for entry in self.reader.records(piece, row):
                if isinstance(entry, History):
                    self.spill.add(self.take(piece, row, entry))
                    continue
                found += 1
                self._take(piece, row, entry)
            if not found:
                self.tally.read += 1
                self.spill.add(self.take(piece, row, None))
        except Refused as error:
            self._refuse(Refusal(piece.place, error, piece.id))

    def _take(self, piece: Piece, row: RowFacts, entry: LabelRecord | Refusal) -> None:
        if isinstance(entry, Refusal):
            self._refuse(entry)
            return
        try:
            self.spill.add(self.take(piece, row, entry))
        except Refused as error:
            self._refuse(Refusal(piece.place, error, entry.id))
        else:
            self.tally.read += 1

    def _refuse(self, one: Refusal) -> None:
        self.tally.read += 1
        self._refusals.write(self.tally.refuse(one.place, one.id, one.error))

    async def _said(self) -> AsyncIterator[bytes]:
        self._refusals.seek(0)
        while piece := await asyncio.to_thread(self._refusals.read, 1024 * 1024):
            yield piece


def _next(pieces: Iterator[Piece | Refusal]) -> list[Piece | Refusal]:
    try:
        return list(islice(pieces, _PIECES_AT_ONCE))
    except UnusableUpload as error:
        raise Unprocessable(error.detail, code=error.code) from error
