"""Storing a batch: outcomes, detections, what the alignment shows of them and the counters, in one transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.inference import segments
from services.inference.decoders.base import Found
from services.inference.failures import RowFailed
from services.inference.inputs import Prepared
from services.inference.inputs.content import Facts
from services.inference.recipe import recipe_key
from shared.alignment import Alignment, Detection, Selection, select
from shared.database.ledger import LedgerPlace, add_to_ledger
from shared.fingerprint import fingerprint

_OUTCOME_COLUMNS = [
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
]


@dataclass(frozen=True, slots=True)
class Succeeded:
    row: Prepared
    found: Sequence[Found]
    timings: dict[str, float]


@dataclass(frozen=True, slots=True)
class Failed:
    data_row_id: UUID
    error: RowFailed
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class _Shown:
    """A success with its detections numbered and seen through the alignment."""

    result: Succeeded
    detections: Sequence[Detection]
    selection: Selection


async def store(
    session: AsyncSession,
    claim: segments.Claim,
    succeeded: Sequence[Succeeded],
    failed: Sequence[Failed],
) -> None:
    """Write a batch and its counters. Raises LeaseLost, and then nothing was written."""
    shown = [_show(result, claim.alignment) for result in succeeded]
    # The segment first: whoever lost the lease must leave nothing behind.
    await segments.lock(session, claim)
    await _copy_outcomes(session, claim, shown, failed)
    await _copy_detections(session, claim, shown)
    await _copy_projections(session, claim, shown)
    await _add_to_ledger(session, claim, shown)
    await _write_facts(session, [result.row for result in succeeded])
    await _count(session, claim, shown, len(failed))


def _show(result: Succeeded, alignment: Alignment) -> _Shown:
    detections = [
        Detection.model_construct(
            ordinal=ordinal,
            model_class=found.model_class,
            confidence=found.confidence,
            area=found.annotation.area(),
            attributes=dict(found.attributes),
            annotation=found.annotation,
        )
        for ordinal, found in enumerate(result.found)
    ]
    return _Shown(result, detections, select(detections, alignment))


async def _copy_outcomes(
    session: AsyncSession, claim: segments.Claim, shown: Sequence[_Shown], failed: Sequence[Failed]
) -> None:
    run = (claim.model_run_id, claim.workspace_id, claim.segment_id, claim.execution)
    recipe = recipe_key(claim.configuration)
    records: list[tuple[Any, ...]] = [
        (
            *run,
            one.result.row.content.data_row_id,
            "succeeded",
            None,
            None,
            None,
            1 + claim.earlier_attempts.get(one.result.row.content.data_row_id, 0),
            len(one.detections),
            orjson.dumps(one.result.timings).decode(),
            fingerprint(recipe, one.result.row.content.sha256) if recipe else None,
        )
        for one in shown
    ]
    records += [
        (
            *run,
            row.data_row_id,
            "failed",
            row.error.stage,
            row.error.code,
            row.error.detail,
            row.attempts + claim.earlier_attempts.get(row.data_row_id, 0),
            0,
            None,
            None,
        )
        for row in failed
    ]
    await _copy(session, "row_outcomes", _OUTCOME_COLUMNS, records)


async def _copy_detections(session: AsyncSession, claim: segments.Claim, shown: Sequence[_Shown]) -> None:
    columns = [
        "model_run_id",
        "workspace_id",
        "data_row_id",
        "ordinal",
        "model_class",
        "confidence",
        "area",
        "attributes",
        "annotation",
    ]
    records = [
        (
            claim.model_run_id,
            claim.workspace_id,
            one.result.row.content.data_row_id,
            detection.ordinal,
            detection.model_class,
            detection.confidence,
            detection.area,
            orjson.dumps(detection.attributes).decode() if detection.attributes else None,
            detection.annotation.model_dump_json(exclude_none=True),
        )
        for one in shown
        for detection in one.detections
    ]
    await _copy(session, "detections", columns, records)


async def _copy_projections(session: AsyncSession, claim: segments.Claim, shown: Sequence[_Shown]) -> None:
    columns = ["model_run_id", "alignment_version", "data_row_id", "workspace_id", "shown", "uncertainty"]
    records = [
        (
            claim.model_run_id,
            claim.alignment.version,
            one.result.row.content.data_row_id,
            claim.workspace_id,
            len(one.selection.visible),
            one.selection.uncertainty,
        )
        for one in shown
    ]
    await _copy(session, "row_projections", columns, records)


async def _add_to_ledger(session: AsyncSession, claim: segments.Claim, shown: Sequence[_Shown]) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for one in shown:
        counts.update(one.selection.ledger)
    place = LedgerPlace(claim.model_run_id, claim.alignment.version, claim.segment_id, claim.workspace_id)
    await add_to_ledger(session, place, counts)


async def _write_facts(session: AsyncSession, rows: Sequence[Prepared]) -> None:
    """What the first reader found out about a content is written once."""
    first = [row for row in rows if row.content.first_read]
    if not first:
        return
    facts: list[Facts] = [row.facts for row in first]
    await session.execute(
        text("""
            UPDATE data_row_contents c
            SET sha256 = f.sha256, mime_type = f.mime_type, byte_size = f.byte_size,
                width = f.width, height = f.height, length = f.length, read_at = now()
            FROM unnest(CAST(:ids AS uuid[]), CAST(:sha256 AS bytea[]), CAST(:mime_types AS text[]),
                        CAST(:sizes AS bigint[]), CAST(:widths AS int[]), CAST(:heights AS int[]),
                        CAST(:lengths AS int[]))
                AS f(id, sha256, mime_type, byte_size, width, height, length)
            WHERE c.data_row_id = f.id AND c.sha256 IS NULL
        """),
        {
            "ids": [row.content.data_row_id for row in first],
            "sha256": [row.content.sha256 for row in first],
            "mime_types": [fact.mime_type for fact in facts],
            "sizes": [fact.byte_size for fact in facts],
            "widths": [fact.width for fact in facts],
            "heights": [fact.height for fact in facts],
            "lengths": [fact.length for fact in facts],
        },
    )


async def _count(session: AsyncSession, claim: segments.Claim, shown: Sequence[_Shown], failed: int) -> None:
    await session.execute(
        text("""
            UPDATE segments
            SET succeeded = succeeded + :succeeded, failed = failed + :failed, detections = detections + :detections,
                suspect_data_row_id = NULL, suspect_leases = 0
            WHERE id = :id
        """),
        {
            "id": claim.segment_id,
            "succeeded": len(shown),
            "failed": failed,
            "detections": sum(len(one.detections) for one in shown),
        },
    )


async def _copy(session: AsyncSession, table: str, columns: list[str], records: Sequence[tuple[Any, ...]]) -> None:
    """COPY on the session's own connection, so within its transaction; `lock` has begun it already."""
    if records:
        raw = await (await session.connection()).get_raw_connection()
        await raw.driver_connection.copy_records_to_table(table, records=records, columns=columns)  # type: ignore[union-attr]
