"""What became of the data rows of a run. Which rows it has, its segments say; what has an outcome, `row_outcomes`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, any_, exists, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.schemas import Outcome, OutcomeState, ReusedFrom
from shared.contracts.events import TERMINAL_STATES
from shared.database.tables import DataRowRow, ModelRunRow, RowOutcomeRow, SegmentRow

_SEGMENTS_AT_ONCE = 2
_STORED = ("succeeded", "failed", "skipped")

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class OutcomeFilter:
    state: OutcomeState | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class OutcomePage:
    items: list[Outcome]
    next_key: Key | None


async def list_outcomes(
    session: AsyncSession, run: ModelRunRow, wanted: OutcomeFilter, after: Key | None, size: int
) -> OutcomePage:
    """In data row order."""
    if wanted.state in _STORED or wanted.code is not None:
        return await _list_stored(session, run, wanted, after, size)
    if wanted.state is not None and wanted.state != _without_outcome(run):
        return OutcomePage([], None)
    return await _list_by_segment(session, run, wanted, after, size)


async def find_outcome(session: AsyncSession, run: ModelRunRow, data_row_id: UUID) -> Outcome | None:
    """None for a data row the run is not about."""
    found = await find_stored(session, run, data_row_id)
    return found[0] if found else None


async def find_stored(
    session: AsyncSession, run: ModelRunRow, data_row_id: UUID
) -> tuple[Outcome, RowOutcomeRow | None] | None:
    """With the row it is stored in, if it is. None for a data row the run is not about."""
    stored = (await session.execute(_stored(run).where(RowOutcomeRow.data_row_id == data_row_id))).one_or_none()
    if stored is not None:
        return _outcome(stored), stored[0]
    in_run = exists().where(SegmentRow.model_run_id == run.id, literal(data_row_id) == any_(SegmentRow.data_row_ids))
    key = await session.scalar(select(DataRowRow.global_key).where(DataRowRow.id == data_row_id, in_run))
    return None if key is None else (_missing(run, data_row_id, key), None)


async def _list_stored(
    session: AsyncSession, run: ModelRunRow, wanted: OutcomeFilter, after: Key | None, size: int
) -> OutcomePage:
    found = _stored(run)
    if wanted.state is not None:
        found = found.where(RowOutcomeRow.state == wanted.state)
    if wanted.code is not None:
        found = found.where(RowOutcomeRow.code == wanted.code)
    if after is not None:
        found = found.where(RowOutcomeRow.data_row_id > UUID(after[0]))
    rows = (await session.execute(found.order_by(RowOutcomeRow.data_row_id).limit(size + 1))).all()
    items = [_outcome(row) for row in rows[:size]]
    return OutcomePage(items, (str(items[-1].data_row_id),) if len(rows) > size else None)


async def _list_by_segment(
    session: AsyncSession, run: ModelRunRow, wanted: OutcomeFilter, after: Key | None, size: int
) -> OutcomePage:
    """Segments hold the rows in order, so a page reads only those it needs."""
    ordinal, last = (int(after[0]), UUID(after[1])) if after else (0, None)
    items: list[tuple[int, Outcome]] = []
    while len(items) <= size:
        segments = await _next_segments(session, run, ordinal, only_unfinished=wanted.state is not None)
        if not segments:
            break
        items += await _outcomes_of(session, run, segments, wanted)
        if last is not None:  # rows ascend over all segments, so this is a place in the first one
            items = [item for item in items if item[1].data_row_id > last]
        ordinal = segments[-1][0] + 1
    page = items[:size]
    more = len(items) > size
    return OutcomePage([item for _, item in page], (page[-1][0], str(page[-1][1].data_row_id)) if more else None)


async def _next_segments(
    session: AsyncSession, run: ModelRunRow, ordinal: int, *, only_unfinished: bool
) -> list[tuple[int, list[UUID]]]:
    """Of the first execution, which has every row, or of the present one, which has every row without an outcome."""
    execution = run.execution if only_unfinished else 1
    wanted = select(SegmentRow.ordinal, SegmentRow.data_row_ids).where(
        SegmentRow.model_run_id == run.id, SegmentRow.execution == execution, SegmentRow.ordinal >= ordinal
    )
    if only_unfinished:
        wanted = wanted.where(SegmentRow.state != "done")
    found = await session.execute(wanted.order_by(SegmentRow.ordinal).limit(_SEGMENTS_AT_ONCE))
    return [(place, ids) for place, ids in found]


async def _outcomes_of(
    session: AsyncSession, run: ModelRunRow, segments: Sequence[tuple[int, list[UUID]]], wanted: OutcomeFilter
) -> list[tuple[int, Outcome]]:
    ids = [row_id for _, row_ids in segments for row_id in row_ids]
    stored = await session.execute(_stored(run).where(RowOutcomeRow.data_row_id.in_(ids)))
    by_id = {row[0].data_row_id: row for row in stored}
    missing = [row_id for row_id in ids if row_id not in by_id]
    keys = {
        row_id: key
        for row_id, key in await session.execute(
            select(DataRowRow.id, DataRowRow.global_key).where(DataRowRow.id.in_(missing))
        )
    }
    return [
        (ordinal, _outcome(by_id[row_id]) if row_id in by_id else _missing(run, row_id, keys[row_id]))
        for ordinal, row_ids in segments
        for row_id in row_ids
        if wanted.state is None or row_id not in by_id
    ]


def _stored(run: ModelRunRow) -> Select[RowOutcomeRow, str]:
    return (
        select(RowOutcomeRow, DataRowRow.global_key)
        .join(DataRowRow, DataRowRow.id == RowOutcomeRow.data_row_id)
        .where(RowOutcomeRow.workspace_id == run.workspace_id, RowOutcomeRow.model_run_id == run.id)
    )


def _outcome(found: Row[RowOutcomeRow, str]) -> Outcome:
    row, global_key = found
    names = set(Outcome.model_fields) - {"global_key", "reused_from"}
    fields = {name: getattr(row, name) for name in names}
    fields["timings"] = _numbers(row.timings)
    return Outcome.model_validate({**fields, "global_key": global_key, "reused_from": _reused_from(row)})


def _numbers(told: Mapping[str, Any] | None) -> dict[str, float] | None:
    """Of what is stored beside an outcome; the rest belongs to its trace."""
    return {name: value for name, value in (told or {}).items() if isinstance(value, int | float)} or None


def _reused_from(row: RowOutcomeRow) -> ReusedFrom | None:
    if row.reused_from_run_id is None or row.reused_from_row_id is None:
        return None
    return ReusedFrom(model_run_id=row.reused_from_run_id, data_row_id=row.reused_from_row_id)


def _missing(run: ModelRunRow, data_row_id: UUID, global_key: str) -> Outcome:
    return Outcome(
        data_row_id=data_row_id,
        global_key=global_key,
        state=_without_outcome(run),
        stage=None,
        code=None,
        detail=None,
        attempts=0,
        detections=0,
        execution=None,
        reused_from=None,
        timings=None,
        created_at=None,
    )


def _without_outcome(run: ModelRunRow) -> OutcomeState:
    return "not_run" if run.state in TERMINAL_STATES else "pending"
