"""The stored counts of where detections went."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_ADD = text("""
    INSERT INTO ledger_counts
        (model_run_id, alignment_version, segment_id, workspace_id, model_class, reason, count)
    SELECT :run, :version, :segment, :workspace, added.model_class, added.reason, added.count
    FROM unnest(CAST(:classes AS text[]), CAST(:reasons AS text[]), CAST(:counts AS int[]))
        AS added(model_class, reason, count)
    ON CONFLICT (model_run_id, alignment_version, segment_id, model_class, reason)
    DO UPDATE SET count = ledger_counts.count + excluded.count
""")


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """`segment_id` keeps writers out of one another's way; only the sums over segments are read."""

    model_run_id: UUID
    alignment_version: int
    segment_id: UUID
    workspace_id: UUID


async def add_to_ledger(session: AsyncSession, place: LedgerPlace, counts: Mapping[tuple[str, str], int]) -> None:
    """`counts` by model class and reason."""
    if not counts:
        return
    await session.execute(
        _ADD,
        {
            "run": place.model_run_id,
            "version": place.alignment_version,
            "segment": place.segment_id,
            "workspace": place.workspace_id,
            "classes": [model_class for model_class, _ in counts],
            "reasons": [reason for _, reason in counts],
            "counts": list(counts.values()),
        },
    )
