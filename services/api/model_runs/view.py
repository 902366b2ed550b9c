"""What data rows show of a run: its detections seen through its alignment, and what people decided about them.

What is decided stays as the person saw it, whatever the alignment says by now, and a detection decided under an
earlier version is not offered for another feature.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.schemas import DecisionState
from shared.alignment import Alignment, Detection, Target
from shared.annotations import ANNOTATION
from shared.answers import Answer
from shared.database.alignments import read_alignment
from shared.database.tables import DecisionRow, DetectionRow, ModelRunRow
from shared.selection import PreLabel
from shared.selection import select as select_shown

DECIDED: Mapping[str, DecisionState] = {"accept": "accepted", "edit": "edited", "reject": "rejected"}
Place = tuple[int, UUID]
"""Ordinal and feature schema: where in a data row a pre-label is."""


@dataclass(frozen=True, slots=True)
class Viewed:
    """One pre-label of a data row."""

    pre_label: PreLabel
    state: DecisionState

    @property
    def place(self) -> Place:
        return (self.pre_label.ordinal, self.pre_label.target.feature_schema_id)


@dataclass(frozen=True, slots=True)
class _Decided:
    viewed: Viewed
    alignment_version: int


@dataclass(frozen=True, slots=True)
class View:
    """A run with all that is needed to see its detections."""

    session: AsyncSession
    run: ModelRunRow
    alignment: Alignment

    @classmethod
    async def of(cls, session: AsyncSession, run: ModelRunRow, threshold: float | None = None) -> "View":
        alignment = await read_alignment(session, run)
        return cls(session, run, alignment if threshold is None else alignment.at(threshold))

    async def look(self, data_row_ids: Sequence[UUID]) -> dict[UUID, list[Viewed]]:
        """What each of these data rows shows, pending or decided, by place."""
        decided = await self._decided(data_row_ids)
        found: defaultdict[UUID, list[Detection]] = defaultdict(list)
        for row in await self._detections(data_row_ids):
            found[row.data_row_id].append(_detection(row))
        return {
            data_row_id: self._look_at(found.get(data_row_id, ()), decided.get(data_row_id, ()))
            for data_row_id in data_row_ids
        }

    def _look_at(self, detections: Sequence[Detection], decided: Sequence[_Decided]) -> list[Viewed]:
        viewed = {one.viewed.place: one.viewed for one in decided}
        settled = {
            one.viewed.pre_label.ordinal for one in decided if one.alignment_version < self.run.alignment_version
        }
        for pre_label in select_shown(detections, self.alignment).shown:
            pending = Viewed(pre_label, "pending")
            if pre_label.ordinal not in settled:
                viewed.setdefault(pending.place, pending)
        return [viewed[place] for place in sorted(viewed)]

    async def _decided(self, data_row_ids: Sequence[UUID]) -> dict[UUID, list[_Decided]]:
        found = await self.session.scalars(
            select(DecisionRow).where(
                DecisionRow.workspace_id == self.run.workspace_id,
                DecisionRow.model_run_id == self.run.id,
                DecisionRow.data_row_id.in_(data_row_ids),
                DecisionRow.shown.is_not(None),
                ~DecisionRow.undone,
            )
        )
        decided: defaultdict[UUID, list[_Decided]] = defaultdict(list)
        for row in found:
            decided[row.data_row_id].append(_as_shown(row))
        return decided

    async def _detections(self, data_row_ids: Sequence[UUID]) -> list[DetectionRow]:
        """Only those that could be shown; the others change nothing about what is."""
        least = min((entry.threshold for entry in self.alignment.entries), default=1.0)
        found = await self.session.scalars(
            select(DetectionRow)
            .where(
                DetectionRow.workspace_id == self.run.workspace_id,
                DetectionRow.model_run_id == self.run.id,
                DetectionRow.data_row_id.in_(data_row_ids),
                DetectionRow.model_class.in_({entry.model_class for entry in self.alignment.entries}),
                DetectionRow.confidence >= least,
            )
            .order_by(DetectionRow.data_row_id, DetectionRow.ordinal)
        )
        return list(found)


def _as_shown(row: DecisionRow) -> _Decided:
    """From the copy the decision keeps."""
    shown = row.shown or {}
    pre_label = PreLabel(
        ordinal=shown["ordinal"],
        target=Target(feature_schema_id=row.feature_schema_id, option_id=row.option_id),
        model_class=shown["model_class"],
        confidence=shown["confidence"],
        threshold=shown["threshold"],
        annotation=ANNOTATION.validate_python(shown["annotation"]),
        answers=tuple(Answer.model_validate(answer) for answer in shown["classifications"]),
    )
    return _Decided(Viewed(pre_label, DECIDED[row.action]), shown["alignment_version"])


def _detection(row: DetectionRow) -> Detection:
    return Detection.model_construct(
        ordinal=row.ordinal,
        model_class=row.model_class,
        confidence=row.confidence,
        area=row.area,
        attributes=row.attributes or {},
        annotation=ANNOTATION.validate_python(row.annotation),
    )
