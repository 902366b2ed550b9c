"""A run's alignment as rows and back. A version is never updated."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.alignment import Alignment, AlignmentEntry, Target
from shared.database.tables import AlignmentEntryRow, AlignmentRow, ModelRunRow

_ENTRY = (
    AlignmentEntryRow.model_class,
    AlignmentEntryRow.feature_schema_id,
    AlignmentEntryRow.option_id,
    AlignmentEntryRow.target_type,
    AlignmentEntryRow.threshold,
    AlignmentEntryRow.when_,
    AlignmentEntryRow.min_area,
    AlignmentEntryRow.max_count,
    AlignmentEntryRow.conversion,
    AlignmentEntryRow.answers,
)


async def read_alignment(session: AsyncSession, run: ModelRunRow, version: int | None = None) -> Alignment:
    """The version the run shows its detections by, or another one."""
    version = version or run.alignment_version
    rows = await session.execute(
        select(*_ENTRY)
        .where(
            AlignmentEntryRow.workspace_id == run.workspace_id,
            AlignmentEntryRow.model_run_id == run.id,
            AlignmentEntryRow.version == version,
        )
        .order_by(AlignmentEntryRow.ordinal)
    )
    return Alignment(version=version, entries=tuple(_entry(row) for row in rows))


def add_alignment(
    session: AsyncSession,
    run: ModelRunRow,
    entries: Sequence[AlignmentEntry],
    member_id: UUID,
    version: int | None = None,
) -> None:
    """As the run's present version, or as another one that nothing shows yet."""
    version = version or run.alignment_version
    session.add(AlignmentRow(model_run_id=run.id, version=version, workspace_id=run.workspace_id, created_by=member_id))
    session.add_all(_row(run, version, ordinal, entry) for ordinal, entry in enumerate(entries))


def _entry(row: Any) -> AlignmentEntry:
    return AlignmentEntry.model_validate(
        {
            "model_class": row.model_class,
            "target": Target(feature_schema_id=row.feature_schema_id, option_id=row.option_id),
            "target_type": row.target_type,
            "threshold": row.threshold,
            "when": row.when_,
            "min_area": row.min_area,
            "max_count": row.max_count,
            "conversion": row.conversion,
            "answers": row.answers,
        }
    )


def _row(run: ModelRunRow, version: int, ordinal: int, entry: AlignmentEntry) -> AlignmentEntryRow:
    return AlignmentEntryRow(
        model_run_id=run.id,
        version=version,
        ordinal=ordinal,
        workspace_id=run.workspace_id,
        model_class=entry.model_class,
        feature_schema_id=entry.target.feature_schema_id,
        option_id=entry.target.option_id,
        target_type=entry.target_type.value,
        threshold=entry.threshold,
        when_=entry.when.model_dump(mode="json", exclude_none=True) if entry.when else None,
        min_area=entry.min_area,
        max_count=entry.max_count,
        conversion=entry.conversion.model_dump(mode="json", by_alias=True) if entry.conversion else None,
        answers=[answer.model_dump(mode="json", exclude_none=True) for answer in entry.answers],
    )
