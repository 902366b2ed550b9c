"""The pre-labels of a run: its detections seen through its alignment, beside what people decided about them.

Nothing here is stored. Rows with nothing to show are skipped by their projection, and a page stops after a bounded
number of detections, so that it may be short and still have a next one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.schemas import DecisionState
from services.api.model_runs.schemas import PreLabel as ShownPreLabel
from services.api.model_runs.view import Place, View, Viewed
from shared.database.tables import (
    DataRowRow,
    DecisionRow,
    FeatureSchemaRow,
    ModelRunRow,
    RowOutcomeRow,
    RowProjectionRow,
)
from shared.pre_label_id import PreLabelId
from shared.selection import PreLabel

_ROWS_AT_ONCE = 200
_DETECTIONS_AT_ONCE = 1_000
_DETECTIONS_A_PAGE = 20_000

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PreLabelFilter:
    """`threshold` stands in for all thresholds of the alignment."""

    data_row_id: UUID | None = None
    feature_schema_id: UUID | None = None
    model_class: str | None = None
    state: DecisionState | None = None
    confidence_min: float = 0.0
    confidence_max: float = 1.0
    threshold: float | None = None

    def holds(self, pre_label: PreLabel, state: DecisionState) -> bool:
        return (
            self.state in {None, state}
            and self.model_class in {None, pre_label.model_class}
            and self.feature_schema_id in {None, pre_label.target.feature_schema_id}
            and self.confidence_min <= pre_label.confidence <= self.confidence_max
        )


@dataclass(frozen=True, slots=True)
class PreLabelPage:
    items: list[ShownPreLabel]
    next_key: Key | None


@dataclass(frozen=True, slots=True)
class _Row:
    data_row_id: UUID
    global_key: str
    detections: int


async def list_pre_labels(
    session: AsyncSession, run: ModelRunRow, wanted: PreLabelFilter, after: Key | None, size: int
) -> PreLabelPage:
    """By data row, detection and feature."""
    view = await View.of(session, run, wanted.threshold)
    names = await feature_names(session, run.workspace_id, run.project_id)
    items: list[ShownPreLabel] = []
    left = _DETECTIONS_A_PAGE
    while True:
        rows = await _next_rows(session, run, wanted, after)
        if not rows:
            return PreLabelPage(items, None)
        for group in _groups(rows):
            items += await _look_at(view, group, wanted, after, names)
            if len(items) > size:
                return PreLabelPage(items[:size], _key(items[size - 1]))
            after = (str(group[-1].data_row_id),)
            left -= sum(row.detections for row in group)
            if left <= 0:
                return PreLabelPage(items, after)


async def _look_at(
    view: View, rows: Sequence[_Row], wanted: PreLabelFilter, after: Key | None, names: Mapping[UUID | None, str]
) -> list[ShownPreLabel]:
    looked = await view.look([row.data_row_id for row in rows])
    found = []
    for row in rows:
        for viewed in looked[row.data_row_id]:
            if viewed.state == "pending" and view.run.hides_pending:
                continue
            if wanted.holds(viewed.pre_label, viewed.state) and not _is_before(row, viewed.place, after):
                found.append(as_shown(view.run, (row.data_row_id, row.global_key), viewed, names))
    return found


async def _next_rows(session: AsyncSession, run: ModelRunRow, wanted: PreLabelFilter, after: Key | None) -> list[_Row]:
    """Data rows that show something, with the number of all their detections."""
    row_id = RowOutcomeRow.data_row_id
    found = (
        select(row_id, DataRowRow.global_key, RowOutcomeRow.detections)
        .join(DataRowRow, DataRowRow.id == row_id)
        .where(
            RowOutcomeRow.workspace_id == run.workspace_id,
            RowOutcomeRow.model_run_id == run.id,
            RowOutcomeRow.detections > 0,
        )
    )
    if wanted.threshold is None:  # what other thresholds show is not stored
        found = found.join(
            RowProjectionRow,
            (RowProjectionRow.model_run_id == run.id)
            & (RowProjectionRow.alignment_version == run.alignment_version)
            & (RowProjectionRow.data_row_id == row_id),
        ).where(RowProjectionRow.shown > 0)
    if wanted.data_row_id is not None:
        found = found.where(row_id == wanted.data_row_id)
    if after is not None:
        last = UUID(after[0])
        # A key of one part says that all of its row was looked at.
        found = found.where(row_id >= last if len(after) > 1 else row_id > last)
    if run.hides_pending or wanted.state not in {None, "pending"}:
        found = found.where(
            exists().where(DecisionRow.model_run_id == run.id, DecisionRow.data_row_id == row_id, ~DecisionRow.undone)
        )
    rows = await session.execute(found.order_by(row_id).limit(_ROWS_AT_ONCE))
    return [_Row(*row) for row in rows]


def _groups(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Neighbours with about a thousand detections together, so that one query stays small."""
    group: list[_Row] = []
    for row in rows:
        group.append(row)
        if sum(one.detections for one in group) >= _DETECTIONS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _is_before(row: _Row, place: Place, after: Key | None) -> bool:
    """Whether an earlier page has shown it. Rows before the key's own were not even read."""
    if after is None or len(after) == 1 or row.data_row_id != UUID(after[0]):
        return False
    return place <= (int(after[1]), UUID(after[2]))


def _key(shown: ShownPreLabel) -> Key:
    return (str(shown.data_row_id), shown.ordinal, str(shown.feature_schema_id))


async def feature_names(session: AsyncSession, workspace_id: UUID, project_id: UUID) -> dict[UUID | None, str]:
    """Of features and options, removed ones too."""
    found = await session.execute(
        select(FeatureSchemaRow.id, FeatureSchemaRow.name).where(
            FeatureSchemaRow.workspace_id == workspace_id, FeatureSchemaRow.project_id == project_id
        )
    )
    return {feature_id: name for feature_id, name in found}


def as_shown(
    run: ModelRunRow, row: tuple[UUID, str], viewed: Viewed, names: Mapping[UUID | None, str]
) -> ShownPreLabel:
    """`row` is the data row's id and key."""
    pre_label, target = viewed.pre_label, viewed.pre_label.target
    return ShownPreLabel(
        id=str(PreLabelId(run.id, row[0], pre_label.ordinal, target.feature_schema_id)),
        model_run_id=run.id,
        data_row_id=row[0],
        global_key=row[1],
        ordinal=pre_label.ordinal,
        feature_schema_id=target.feature_schema_id,
        feature_name=names[target.feature_schema_id],
        tool=pre_label.annotation.taken_by,
        option_id=target.option_id,
        option_name=names.get(target.option_id),
        model_class=pre_label.model_class,
        confidence=pre_label.confidence,
        threshold=pre_label.threshold,
        annotation=pre_label.annotation,
        classifications=pre_label.answers,
        state=viewed.state,
    )
