"""What a worker leaves in the tables, without a model: for tests of those who read it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, select, update

from shared.alignment import Detection
from shared.annotations import Annotation, BoundingBox, Classification
from shared.contracts.event import RunState
from shared.database.alignments import read_alignment
from shared.database.driver import driver_of
from shared.database.engine import Sessions
from shared.database.ledger import LedgerPlace, add_to_ledger
from shared.database.run_events import state_event
from shared.database.tables import (
    CatalogModelRow,
    DetectionRow,
    ModelRunRow,
    RowOutcomeRow,
    RowProjectionRow,
    SegmentRow,
    WithheldDetectionRow,
)
from shared.database.unit_of_work import unit_of_work
from shared.database.withholding import find_withheld
from shared.doubt import doubt_of
from shared.model_card import ModelCard
from shared.selection import select as select_shown
from shared.signals import Signals
from tests.support.cards import built

Table = TypeVar("Table", DetectionRow, WithheldDetectionRow)
Said = tuple[str, float]
"""A model class and a confidence."""


async def add_model(
    sessions: Sessions, model: ModelCard, state: str = "ready", workspace_id: UUID | None = None
) -> UUID:
    """Built in, or a workspace's own. A model that is there already is taken as it is."""
    digest = built(model).digest
    async with sessions.begin() as session:
        wanted = select(CatalogModelRow.id).where(
            CatalogModelRow.digest == digest, CatalogModelRow.workspace_id.is_not_distinct_from(workspace_id)
        )
        known = await session.scalar(wanted)
        if known is not None:
            return known
        row = CatalogModelRow(
            workspace_id=workspace_id,
            slug=model.slug,
            name=model.name,
            version=model.version,
            digest=digest,
            media_type=model.media_type,
            task=model.task,
            card=model.model_dump(mode="json"),
            state=state,
        )
        session.add(row)
        await session.flush()
        return row.id


@dataclass(frozen=True, slots=True)
class FakeWorker:
    """Stores what it is told as a worker would: outcomes, detections, projections, ledger and counters together."""

    sessions: Sessions
    signals: Signals

    async def store(
        self, run_id: UUID, said: Mapping[UUID, Sequence[Said]], failed: Mapping[UUID, str] | None = None
    ) -> None:
        """`failed` are codes. The run's other data rows stay without an outcome."""
        async with self.sessions.begin() as session:
            run = await session.get_one(ModelRunRow, run_id)
            alignment = await read_alignment(session, run)
            present = (SegmentRow.model_run_id == run_id, SegmentRow.execution == run.execution)
            segments = list(await session.scalars(select(SegmentRow).where(*present)))
            withheld = await find_withheld(session, run.workspace_id, list(said))
            for segment in segments:
                ledger: Counter[tuple[str, str]] = Counter()
                for data_row_id in segment.data_row_ids:
                    if data_row_id in (failed or {}):
                        session.add(_failed(segment, data_row_id, (failed or {})[data_row_id]))
                        segment.failed += 1
                    elif data_row_id in said:
                        detections = _detections(run, said[data_row_id])
                        if data_row_id in withheld:
                            session.add_all(_records(WithheldDetectionRow, run, data_row_id, detections))
                            detections = []
                        selection = select_shown(detections, alignment)
                        unsure = doubt_of(selection)
                        ledger.update(selection.ledger)
                        session.add_all(_success(run, segment, data_row_id, detections))
                        session.add(
                            RowProjectionRow(
                                model_run_id=run_id,
                                alignment_version=run.alignment_version,
                                data_row_id=data_row_id,
                                workspace_id=run.workspace_id,
                                shown=len(selection.shown),
                                uncertainty=unsure.least_confidence,
                                margin=unsure.margin,
                                entropy=unsure.entropy,
                            )
                        )
                        segment.succeeded += 1
                        segment.detections += len(detections)
                place = LedgerPlace(run_id, run.alignment_version, segment.id, segment.workspace_id)
                await session.flush()
                await add_to_ledger(await driver_of(session), place, ledger)

    async def end(self, run_id: UUID, state: RunState = "completed") -> None:
        """Close the segments and the run, with the terminal event."""
        async with unit_of_work(self.sessions, self.signals, "service:test") as work:
            run = await work.session.get_one(ModelRunRow, run_id)
            unfinished = (SegmentRow.model_run_id == run_id, SegmentRow.state.in_(("open", "leased")))
            for segment in await work.session.scalars(select(SegmentRow).where(*unfinished)):
                run.succeeded += segment.succeeded
                run.failed += segment.failed
                run.detections += segment.detections
                segment.state = "cancelled" if state == "failed" else "done"
            run.state, run.finished_at = state, await work.session.scalar(select(func.now()))
            work.emit(state_event(run))

    async def take(self, run_id: UUID) -> int:
        """Lease all segments; says at which generation."""
        async with self.sessions.begin() as session:
            await session.execute(
                update(SegmentRow)
                .where(SegmentRow.model_run_id == run_id)
                .values(state="leased", generation=SegmentRow.generation + 1, holder="test", heartbeat_at=func.now())
            )
            await session.execute(update(ModelRunRow).where(ModelRunRow.id == run_id).values(state="running"))
            generation = await session.scalar(
                select(SegmentRow.generation).where(SegmentRow.model_run_id == run_id).limit(1)
            )
        return generation or 0


def _detections(run: ModelRunRow, said: Sequence[Said]) -> list[Detection]:
    kind = run.configuration["card"]["annotation_kind"]
    return [
        Detection(
            ordinal=ordinal,
            model_class=model_class,
            confidence=confidence,
            area=None if kind == "classification" else 200.0,
            annotation=_annotation(kind, ordinal),
        )
        for ordinal, (model_class, confidence) in enumerate(said)
    ]


def _annotation(kind: str, ordinal: int) -> Annotation:
    if kind == "classification":
        return Classification()
    return BoundingBox(left=float(ordinal), top=2.0, width=10.0, height=20.0)


def _success(
    run: ModelRunRow, segment: SegmentRow, data_row_id: UUID, detections: Sequence[Detection]
) -> list[RowOutcomeRow | DetectionRow]:
    outcome = RowOutcomeRow(
        model_run_id=run.id,
        data_row_id=data_row_id,
        workspace_id=run.workspace_id,
        segment_id=segment.id,
        execution=segment.execution,
        state="succeeded",
        attempts=1 + _earlier(segment, data_row_id),
        detections=len(detections),
        timings={"infer": 0.01},
    )
    return [outcome, *_records(DetectionRow, run, data_row_id, detections)]


def _records(table: type[Table], run: ModelRunRow, data_row_id: UUID, detections: Sequence[Detection]) -> list[Table]:
    return [
        table(
            model_run_id=run.id,
            data_row_id=data_row_id,
            ordinal=detection.ordinal,
            workspace_id=run.workspace_id,
            model_class=detection.model_class,
            confidence=detection.confidence,
            area=detection.area,
            annotation=detection.annotation.model_dump(mode="json", exclude_none=True),
        )
        for detection in detections
    ]


def _failed(segment: SegmentRow, data_row_id: UUID, code: str) -> RowOutcomeRow:
    return RowOutcomeRow(
        model_run_id=segment.model_run_id,
        data_row_id=data_row_id,
        workspace_id=segment.workspace_id,
        segment_id=segment.id,
        execution=segment.execution,
        state="failed",
        stage="decode",
        code=code,
        detail="the file ends in the middle",
        attempts=1 + _earlier(segment, data_row_id),
        detections=0,
    )


def _earlier(segment: SegmentRow, data_row_id: UUID) -> int:
    return dict(zip(segment.data_row_ids, segment.earlier_attempts or (), strict=False)).get(data_row_id, 0)
