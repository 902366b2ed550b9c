"""Predictions made elsewhere become a run: outcomes, detections and what its alignment shows, a bucket a step."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.exchange.formats.base import Place, Refused
from services.api.exchange.imports.detected import Detected
from services.api.exchange.imports.order import ImportGround, opened
from services.api.exchange.imports.reading import Reading
from services.api.exchange.imports.report import Tally, line, refused_line
from services.api.exchange.imports.spill import Record, Spill
from services.api.model_runs.queries import count_anew
from services.api.projections import writing
from services.api.projections.reading import ReadRow
from services.api.projections.seeing import see
from shared.alignment import Alignment
from shared.database.alignments import add_alignment, read_alignment
from shared.database.driver import driver_of
from shared.database.imported_runs import lock_open_run
from shared.database.run_events import state_event
from shared.database.tables import ModelRunRow, RowOutcomeRow, SegmentRow
from shared.database.unit_of_work import UnitOfWork
from shared.database.withholding import draw_withheld, find_withheld
from shared.detections import StoredDetection
from shared.errors import Conflict, FieldError, Unprocessable
from shared.operations import RunningOperation
from shared.pre_label_id import packed_pre_label_id

MOST_A_ROW = 5_000
_SEGMENT_ROWS = 1_024
_OUTCOMES = ("model_run_id", "workspace_id", "execution", "data_row_id", "state", "attempts", "detections")
_DETECTIONS = (
    *("model_run_id", "workspace_id", "data_row_id", "ordinal", "model_class", "confidence", "area"),
    *("attributes", "annotation", "extras"),
)
_WITHHELD = _DETECTIONS[:-1]


async def import_predictions(operation: RunningOperation) -> None:
    """Reads all of the upload first, so that a file of another format leaves nothing behind."""
    async with opened(operation, "pre_labels") as ground:
        detected = Detected(ground.vocabulary, ground.media_type, ground.order.confidence)
        with Spill(ground.size) as spill:
            reading = Reading(operation, ground.project, ground.reader, detected.take, spill)
            await reading.run(ground.report)
            await _Filling(operation, ground, reading.tally).run(spill, detected)


@dataclass(slots=True)
class _Row:
    """A data row of a bucket, with its detections in the order they came and where they stood."""

    data_row_id: UUID
    records: list[Record] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class _Bucket:
    rows: list[_Row]
    lines: list[bytes]


@dataclass(slots=True)
class _Filling:
    """`stored` and `beyond` count the detections of this pass, whether or not an earlier one has committed them."""

    operation: RunningOperation
    ground: ImportGround
    tally: Tally
    stored: int = 0
    beyond: int = 0

    async def run(self, spill: Spill, detected: Detected) -> None:
        ids = await asyncio.to_thread(spill.data_rows)
        if not ids:
            raise _nothing(self.tally)
        async with self.operation.step() as work:
            run = await _held_run(work, self.operation)
            if not run.total:
                await self._begin(work, run, ids, detected)
            seeing = _Seeing(run.id, run.workspace_id, run.execution, await read_alignment(work.session, run))
        # The next bucket is made while this one is stored.
        coming = asyncio.create_task(asyncio.to_thread(self._make, seeing, spill, 0))
        try:
            for number in range(spill.buckets):
                bucket, made = await coming
                if number + 1 < spill.buckets:
                    coming = asyncio.create_task(asyncio.to_thread(self._make, seeing, spill, number + 1))
                if bucket.rows:
                    await self._store(number, seeing, bucket, made)
        finally:
            # The thread reads from the spill, which goes with us.
            await asyncio.wait({coming})
        await self._end()

    def _make(self, seeing: "_Seeing", spill: Spill, number: int) -> "tuple[_Bucket, _Made]":
        """As if nothing of it were withheld."""
        bucket = self._bucket(spill.bucket(number))
        return bucket, _made(seeing, bucket, frozenset())

    async def _begin(self, work: UnitOfWork, run: ModelRunRow, ids: Sequence[UUID], detected: Detected) -> None:
        """Which rows it has, how they are shown, and which of them nothing may be shown of."""
        run.total = len(ids)
        add_alignment(work.session, run, detected.entries(), run.created_by)
        await work.session.execute(insert(SegmentRow), _segments(run, ids))
        await draw_withheld(work.session, run)
        run.state = "running"
        run.started_at = run.served_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
        await work.session.flush()
        work.emit(state_event(run))

    def _bucket(self, chunks: Iterable[Sequence[Record]]) -> _Bucket:
        rows: dict[bytes, _Row] = {}
        lines: list[bytes] = []
        for chunk in chunks:
            for record in chunk:
                row = rows.get(record[0])
                if row is None:
                    row = rows[record[0]] = _Row(UUID(bytes=record[0]))
                if len(record) == _EMPTY:
                    lines.append(line(record[1], "created", data_row_id=row.data_row_id, detections=0))
                elif len(row.records) >= MOST_A_ROW:
                    self.beyond += 1
                    error = Refused("too_many_predictions", f"a data row takes at most {MOST_A_ROW}")
                    lines.append(refused_line(record[1], record[2], error))
                else:
                    row.records.append(record)
        self.stored += sum(len(row.records) for row in rows.values())
        return _Bucket([rows[key] for key in sorted(rows)], lines)

    async def _store(self, number: int, seeing: "_Seeing", bucket: _Bucket, made: "_Made") -> None:
        async with self.operation.step() as work:
            run = await _held_run(work, self.operation)
            ids = [row.data_row_id for row in bucket.rows]
            await self.operation.report(work, self.stored, self.tally.read - self.tally.refused, "storing")
            if await _is_stored(work.session, run, ids):
                return
            withheld = await find_withheld(work.session, run.workspace_id, ids)
            if withheld:
                made = await asyncio.to_thread(_made, seeing, bucket, withheld)
            await self.ground.report.bucket(number, made.lines)
            await made.write(work.session, run)

    async def _end(self) -> None:
        async with self.operation.step() as work:
            run = await _held_run(work, self.operation)
            await count_anew(work.session, run)
            run.state = "completed_with_errors" if run.failed else "completed"
            run.finished_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
            await work.session.flush()
            work.emit(state_event(run))
            result = {
                "model_run_id": str(run.id),
                "read": self.tally.read,
                "created": self.stored,
                "failed": self.tally.refused + self.beyond,
                "data_rows": run.total,
                "errors": self.tally.errors,
                "losses": [one.model_dump() for one in self.ground.losses.listed()],
            }
            await self.operation.succeed(work, result)


_EMPTY = 2
"""The length of a record that only says that a data row has nothing."""


@dataclass(frozen=True, slots=True)
class _Seeing:
    """The run, and how it shows what is imported."""

    run_id: UUID
    workspace_id: UUID
    execution: int
    alignment: Alignment


@dataclass(slots=True)
class _Made:
    """What a bucket leaves in the tables."""

    version: int
    seen: list[tuple[ReadRow, Any]] = field(default_factory=list)
    outcomes: list[Record] = field(default_factory=list)
    detections: list[Record] = field(default_factory=list)
    withheld: list[Record] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)

    async def write(self, session: AsyncSession, run: ModelRunRow) -> None:
        driver = await driver_of(session)
        await driver.copy_records_to_table("row_outcomes", records=self.outcomes, columns=_OUTCOMES)
        await driver.copy_records_to_table("detections", records=self.detections, columns=_DETECTIONS)
        if self.withheld:
            await driver.copy_records_to_table("withheld_detections", records=self.withheld, columns=_WITHHELD)
        await writing.store(session, run, self.version, self.seen)
        run.succeeded += len(self.outcomes)
        run.detections += len(self.detections)


def _made(seeing: _Seeing, bucket: _Bucket, withheld: frozenset[UUID]) -> _Made:
    """Pure, for a thread."""
    made, run_id = _Made(seeing.alignment.version, lines=list(bucket.lines)), seeing.run_id.bytes
    for row in bucket.rows:
        of_run = (seeing.run_id, seeing.workspace_id)
        hidden = row.data_row_id in withheld
        read = ReadRow(row.data_row_id)
        row_id, called = row.data_row_id.bytes, str(row.data_row_id)
        for ordinal, record in enumerate(row.records):
            _, place, own_id, name, confidence, area, kind, attributes, annotation, extras, feature = record
            stored = (*of_run, row.data_row_id, ordinal, name, confidence, area, attributes, annotation)
            if hidden:
                made.withheld.append(stored)
            else:
                made.detections.append((*stored, extras))
                read.detections.append(StoredDetection(ordinal, name, confidence, area, kind, attributes, annotation))
            own = {"id": own_id} if own_id is not None else {}
            if feature is not None:
                own["pre_label_id"] = packed_pre_label_id(run_id, row_id, ordinal, feature)
            made.lines.append(line(place, "created", data_row_id=called, ordinal=ordinal, **own))
        shown = 0 if hidden else len(row.records)
        made.outcomes.append((*of_run, seeing.execution, row.data_row_id, "succeeded", 1, shown))
        made.seen.append((read, see(read.detections, seeing.alignment, {})))
    return made


def _segments(run: ModelRunRow, ids: Sequence[UUID]) -> list[Mapping[str, Any]]:
    """They say which data rows the run has; nobody takes one."""
    return [
        {
            "workspace_id": run.workspace_id,
            "project_id": run.project_id,
            "model_run_id": run.id,
            "execution": run.execution,
            "ordinal": place // _SEGMENT_ROWS,
            "purpose": run.purpose,
            "data_row_ids": list(ids[place : place + _SEGMENT_ROWS]),
            "state": "done",
        }
        for place in range(0, len(ids), _SEGMENT_ROWS)
    ]


async def _held_run(work: UnitOfWork, operation: RunningOperation) -> ModelRunRow:
    """Raises Conflict when the run was cancelled meanwhile."""
    run = await lock_open_run(work.session, operation.parameters)
    if run is None:
        raise Conflict("the run has ended", code="run_ended")
    return run


async def _is_stored(session: AsyncSession, run: ModelRunRow, data_row_ids: Sequence[UUID]) -> bool:
    """Whether an earlier worker has committed this bucket: all of it, or nothing."""
    found = select(literal(1)).where(RowOutcomeRow.model_run_id == run.id, RowOutcomeRow.data_row_id.in_(data_row_ids))
    return await session.scalar(found.limit(1)) is not None


def _nothing(tally: Tally) -> Unprocessable:
    errors = [FieldError(one["pointer"], one["code"], f"{one['line']}: {one['detail']}") for one in tally.errors]
    return Unprocessable("nothing in the upload could be taken", code="nothing_imported", errors=errors)
