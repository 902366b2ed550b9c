"""Writing outcomes and all that follows from them, in one transaction.

Straight on the driver: a statement through a session costs a worker several times the CPU.
"""

from collections.abc import Mapping, Sequence

from services.inference import segments
from services.inference.inputs import Prepared
from services.inference.results import Outcomes
from shared.database.driver import Driver, driver_transaction
from shared.database.engine import Sessions
from shared.database.ledger import LedgerPlace, add_to_ledger

_COLUMNS: Mapping[str, Sequence[str]] = {
    "row_outcomes": (
        "model_run_id",
        "workspace_id",
        "segment_id",
        "execution",
        "data_row_id",
        "state",
        "stage",
        "code",
        "detail",
        "attempts",
        "detections",
        "timings",
        "fingerprint",
    ),
    "detections": (
        "model_run_id",
        "workspace_id",
        "data_row_id",
        "ordinal",
        "model_class",
        "confidence",
        "area",
        "attributes",
        "annotation",
    ),
    "withheld_detections": (
        "model_run_id",
        "workspace_id",
        "data_row_id",
        "ordinal",
        "model_class",
        "confidence",
        "area",
        "attributes",
        "annotation",
    ),
    "row_projections": (
        "model_run_id",
        "alignment_version",
        "data_row_id",
        "workspace_id",
        "shown",
        "uncertainty",
        "margin",
        "entropy",
    ),
}

# Locked by id: another run may be the first reader of the same ones just now.
_WRITE_FACTS = """
    WITH unread AS (
        SELECT data_row_id AS id FROM data_row_contents
        WHERE data_row_id = ANY($1::uuid[]) AND sha256 IS NULL
        ORDER BY data_row_id FOR UPDATE
    )
    UPDATE data_row_contents c
    SET sha256 = f.sha256, mime_type = f.mime_type, byte_size = f.byte_size,
        width = f.width, height = f.height, length = f.length, read_at = now()
    FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::bigint[], $5::int[], $6::int[], $7::int[])
        AS f(id, sha256, mime_type, byte_size, width, height, length)
    JOIN unread USING (id)
    WHERE c.data_row_id = f.id
"""

_COUNT = """
    UPDATE segments
    SET succeeded = succeeded + $2, failed = failed + $3, detections = detections + $4,
        suspect_data_row_id = NULL, suspect_leases = 0
    WHERE id = $1
"""


async def store(sessions: Sessions, outcomes: Outcomes) -> None:
    """Returns when they are committed. Raises LeaseLost, and then nothing was written."""
    async with driver_transaction(sessions) as driver:
        await write(driver, outcomes)


async def write(driver: Driver, outcomes: Outcomes) -> None:
    """In the transaction that has just begun."""
    # The segment first: whoever lost the lease must leave nothing behind.
    claim = outcomes.claim
    await segments.lock_driven(driver, claim)
    for table, records in outcomes.records.items():
        if records:
            await driver.copy_records_to_table(table, records=records, columns=_COLUMNS[table])
    place = LedgerPlace(claim.model_run_id, claim.alignment.version, claim.segment_id, claim.workspace_id)
    await add_to_ledger(driver, place, outcomes.ledger)
    await _write_facts(driver, outcomes.first_read)
    await _count(driver, outcomes)


async def _write_facts(driver: Driver, rows: Sequence[Prepared]) -> None:
    """What the first reader found out about a content is written once."""
    if not rows:
        return
    facts = [row.facts for row in rows]
    await driver.execute(
        _WRITE_FACTS,
        [row.content.data_row_id for row in rows],
        [row.content.sha256 for row in rows],
        [fact.mime_type for fact in facts],
        [fact.byte_size for fact in facts],
        [fact.width for fact in facts],
        [fact.height for fact in facts],
        [fact.length for fact in facts],
    )


async def _count(driver: Driver, outcomes: Outcomes) -> None:
    detections = len(outcomes.records["detections"])
    await driver.execute(_COUNT, outcomes.claim.segment_id, outcomes.succeeded, outcomes.failed, detections)
