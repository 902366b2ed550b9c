"""A preview at every threshold, beside what people have labeled."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.previews import queries
from services.api.previews.looking import find_labels, look
from services.api.previews.schemas import Sweep, SweepClass, SweepQuality, TextMatch
from services.api.previews.sweep import THRESHOLDS, ClassSweep, Counts, SweptRow, quality, shown_at_least, sweep
from shared.database.alignments import read_alignment
from shared.database.tables import ModelRunRow
from shared.run_configuration import RunConfiguration


async def sweep_preview(session: AsyncSession, preview: ModelRunRow, text_match: TextMatch) -> Sweep:
    """One look at the floor serves all thresholds."""
    alignment = await read_alignment(session, preview)
    floor = RunConfiguration.model_validate(preview.configuration).floor
    labels = await find_labels(session, preview, await queries.list_sample(session, preview))
    at_floor = alignment.at(floor)
    rows = [
        SweptRow(row.visible, labels.get(row.data_row_id))
        async for row in look(session, preview, at_floor, whole=bool(labels))
    ]
    found = sweep(rows, alignment, roughly=text_match == "overlap")
    first = int(np.searchsorted(THRESHOLDS, floor))
    every = np.sum([shown_at_least(one.detections) for one in found.values()], axis=0)
    return Sweep(
        preview_id=preview.id,
        alignment_version=preview.alignment_version,
        floor=floor,
        thresholds=THRESHOLDS.tolist(),
        data_rows=len(rows),
        labeled_data_rows=sum(row.labels is not None for row in rows),
        text_match=text_match,
        shown=_above(every, first),
        classes=[_class(name, one, first) for name, one in sorted(found.items())],
    )


def _class(name: str, found: ClassSweep, first: int) -> SweepClass:
    return SweepClass(
        model_class=name,
        shown=_above(shown_at_least(found.detections), first),
        pre_labels=_above(shown_at_least(found.pre_labels), first),
        quality=_quality(found, first) if found.labels else None,
    )


def _quality(found: ClassSweep, first: int) -> SweepQuality:
    curve = quality(found, first)
    return SweepQuality(
        labels=found.labels,
        precision=_above(curve.precision, first),
        recall=_above(curve.recall, first),
        f1=_above(curve.f1, first),
        recommended_threshold=None if curve.best is None else float(THRESHOLDS[curve.best]),
    )


def _above(curve: Counts | NDArray[np.float64], first: int) -> Any:
    """Null beneath the floor, and where there is no number."""
    values: Sequence[float] = curve.tolist()
    return [None if place < first or math.isnan(value) else value for place, value in enumerate(values)]
