"""Two or three previews of the same sample, side by side."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.paging import Paging
from services.api.previews import queries
from services.api.previews.compare import Comparison, Pair, RowDifference, Tally
from services.api.previews.looking import look
from services.api.previews.schemas import (
    ComparedFeature,
    ComparedPair,
    ComparedPreview,
    DifferentRow,
    PreviewComparison,
)
from shared.database.alignments import read_alignment
from shared.database.tables import DataRowRow, FeatureSchemaRow, ModelRunRow
from shared.errors import Conflict, Unprocessable
from shared.run_configuration import RunConfiguration
from shared.selection import Candidate
from shared.snapshots import run_model

_FEWEST, _MOST = 2, 3


def read_ids(text: str) -> list[UUID]:
    """Raises Unprocessable unless they are two or three different ids."""
    try:
        ids = [UUID(part.strip()) for part in text.split(",")]
    except ValueError:
        ids = []
    if not _FEWEST <= len(ids) <= _MOST or len(set(ids)) < len(ids):
        raise Unprocessable("ids takes two or three different preview ids with commas between them", code="invalid_ids")
    return ids


async def compare_previews(session: AsyncSession, previews: Sequence[ModelRunRow], paging: Paging) -> PreviewComparison:
    """Raises Conflict when they are not about the same data rows."""
    await _check_same_sample(session, previews)
    found = Comparison.of(len(previews))
    seen = [await _seen(session, preview) for preview in previews]
    for data_row_id in sorted(set.intersection(*map(set, seen))):
        found.add(data_row_id, [one[data_row_id] for one in seen])
    wanted = [one for one in found.different if paging.after_id is None or one.data_row_id > paging.after_id]
    shown = wanted[: paging.size]
    ids = [preview.id for preview in previews]
    rows = await _rows(session, previews[0], ids, shown)
    page = paging.page_with(rows, (str(shown[-1].data_row_id),) if len(wanted) > len(shown) else None)
    return PreviewComparison(
        **dict(page),
        previews=[_preview(preview, found, place) for place, preview in enumerate(previews)],
        data_rows=found.rows,
        same_data_rows=found.rows - len(found.different),
        features=await _features(session, previews[0], found),
        pairs=_pairs(ids, found.pairs),
    )


async def _check_same_sample(session: AsyncSession, previews: Sequence[ModelRunRow]) -> None:
    samples = {frozenset(await queries.list_sample(session, preview)) for preview in previews}
    if len(samples) > 1 or len({preview.project_id for preview in previews}) > 1:
        raise Conflict(
            'the previews are about different data rows; make one with "sample": {"preview_id": …} of another',
            code="samples_differ",
        )


async def _seen(session: AsyncSession, preview: ModelRunRow) -> dict[UUID, Sequence[Candidate]]:
    alignment = await read_alignment(session, preview)
    return {row.data_row_id: row.visible async for row in look(session, preview, alignment, whole=True)}


async def _rows(
    session: AsyncSession, preview: ModelRunRow, ids: Sequence[UUID], shown: Sequence[RowDifference]
) -> list[DifferentRow]:
    found = await session.execute(
        select(DataRowRow.id, DataRowRow.global_key).where(
            DataRowRow.workspace_id == preview.workspace_id, DataRowRow.id.in_([one.data_row_id for one in shown])
        )
    )
    keys = {data_row_id: key for data_row_id, key in found}
    return [
        DifferentRow(
            data_row_id=one.data_row_id,
            global_key=keys[one.data_row_id],
            shown=list(one.shown),
            pairs=_pairs(ids, one.pairs),
        )
        for one in shown
    ]


def _preview(preview: ModelRunRow, found: Comparison, place: int) -> ComparedPreview:
    classes = found.classes[place]
    return ComparedPreview(
        id=preview.id,
        name=preview.name,
        model=run_model(RunConfiguration.model_validate(preview.configuration)),
        state=preview.state,
        alignment_version=preview.alignment_version,
        shown=classes.total(),
        classes=dict(sorted(classes.items())),
    )


async def _features(session: AsyncSession, preview: ModelRunRow, found: Comparison) -> list[ComparedFeature]:
    rows = await session.execute(
        select(FeatureSchemaRow.id, FeatureSchemaRow.name).where(
            FeatureSchemaRow.workspace_id == preview.workspace_id, FeatureSchemaRow.project_id == preview.project_id
        )
    )
    names: dict[UUID | None, str] = {feature_id: name for feature_id, name in rows}
    places = {place for counter in found.places for place in counter}
    return [
        ComparedFeature(
            feature_schema_id=feature_id,
            feature_name=names[feature_id],
            option_id=option_id,
            option_name=names.get(option_id),
            shown=[counter[(feature_id, option_id)] for counter in found.places],
        )
        for feature_id, option_id in sorted(places, key=lambda one: (names[one[0]], names.get(one[1]) or ""))
    ]


def _pairs(ids: Sequence[UUID], found: Mapping[Pair, Tally]) -> list[ComparedPair]:
    return [
        ComparedPair(
            preview_ids=(ids[one], ids[other]),
            same=tally.same,
            only_first=tally.only_first,
            only_second=tally.only_second,
            agreement=tally.agreement,
        )
        for (one, other), tally in found.items()
    ]
