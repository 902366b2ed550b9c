"""The stored counts of where detections went."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from shared.database.driver import Driver

_ADD = """
    INSERT INTO ledger_counts
        (model_run_id, alignment_version, segment_id, workspace_id, model_class, reason, count)
    SELECT $1, $2, $3, $4, added.model_class, added.reason, added.count
    FROM unnest($5::text[], $6::text[], $7::int[]) AS added(model_class, reason, count)
    ON CONFLICT (model_run_id, alignment_version, segment_id, model_class, reason)
    DO UPDATE SET count = ledger_counts.count + excluded.count
"""


@dataclass(frozen=True, slots=True)
class LedgerPlace:
    """`segment_id` keeps writers out of one another's way; only the sums over segments are read."""

    model_run_id: UUID
    alignment_version: int
    segment_id: UUID
    workspace_id: UUID


async def add_to_ledger(driver: Driver, place: LedgerPlace, counts: Mapping[tuple[str, str], int]) -> None:
    """`counts` by model class and reason. Within the driver's transaction."""
    if not counts:
        return
    where = (place.model_run_id, place.alignment_version, place.segment_id, place.workspace_id)
    classes, reasons = [model_class for model_class, _ in counts], [reason for _, reason in counts]
    await driver.execute(_ADD, *where, classes, reasons, list(counts.values()))
