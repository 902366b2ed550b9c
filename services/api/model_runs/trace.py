"""The way of one data row through a run: in which segment and batch, by which worker, how long in each stage."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import any_, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs.outcomes import find_stored
from services.api.model_runs.schemas import OutcomeTrace, TracedBatch, TracedSegment, TracedStages
from shared.database.tables import ModelRunRow, RowOutcomeRow, SegmentRow
from shared.run_configuration import RunConfiguration
from shared.snapshots import run_model


async def find_trace(session: AsyncSession, run: ModelRunRow, data_row_id: UUID) -> OutcomeTrace | None:
    """None for a data row the run is not about."""
    found = await find_stored(session, run, data_row_id)
    if found is None:
        return None
    outcome, stored = found
    segment = await _segment(session, run, data_row_id, stored)
    told: Mapping[str, Any] = (stored.timings or {}) if stored is not None else {}
    configuration = RunConfiguration.model_validate(run.configuration) if run.configuration else None
    holder = segment.holder if segment is not None and stored is None else None
    return OutcomeTrace(
        **dict(outcome),
        model=run_model(configuration) if configuration else None,
        segment=_traced(segment) if segment is not None else None,
        batch=TracedBatch(id=told["batch_id"], rows=told["batch_rows"]) if "batch_id" in told else None,
        worker=told.get("worker", holder),
        stages=TracedStages.model_validate(told) if "infer_ms" in told else None,
    )


async def _segment(
    session: AsyncSession, run: ModelRunRow, data_row_id: UUID, stored: RowOutcomeRow | None
) -> SegmentRow | None:
    """That of the outcome; of a row without one, the segment it is in now."""
    wanted = select(SegmentRow).where(SegmentRow.workspace_id == run.workspace_id, SegmentRow.model_run_id == run.id)
    if stored is not None:
        wanted = wanted.where(SegmentRow.id == stored.segment_id)
    else:
        wanted = wanted.where(literal(data_row_id) == any_(SegmentRow.data_row_ids))
    found: SegmentRow | None = await session.scalar(wanted.order_by(SegmentRow.execution.desc()).limit(1))
    return found


def _traced(segment: SegmentRow) -> TracedSegment:
    return TracedSegment.model_validate({name: getattr(segment, name) for name in TracedSegment.model_fields})
