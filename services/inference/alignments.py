"""The frozen alignment of a run, as the worker needs it to store what is shown."""

from sqlalchemy import select

from services.inference.segments import Claim
from shared.alignment import Alignment, AlignmentEntry, Target
from shared.database.engine import Sessions
from shared.database.tables import AlignmentEntryRow


async def read_alignment(sessions: Sessions, claim: Claim) -> Alignment:
    async with sessions() as session:
        rows = await session.scalars(
            select(AlignmentEntryRow)
            .where(
                AlignmentEntryRow.model_run_id == claim.model_run_id,
                AlignmentEntryRow.version == claim.alignment_version,
            )
            .order_by(AlignmentEntryRow.ordinal)
        )
        return Alignment(version=claim.alignment_version, entries=tuple(_entry(row) for row in rows))


def _entry(row: AlignmentEntryRow) -> AlignmentEntry:
    return AlignmentEntry.model_validate(
        {
            "model_class": row.model_class,
            "target": Target(feature_schema_id=row.feature_schema_id, option_id=row.option_id),
            "target_type": row.target_type,
            "threshold": row.threshold,
            "when": row.when_,
            "min_area": row.min_area,
            "max_count": row.max_count,
            "answers": row.answers,
        }
    )
