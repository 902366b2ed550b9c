"""Storing what batches gave: outcomes, detections, what the alignment shows of them and the counters, in one
transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.inference import segments
from services.inference.decoders.base import Attributes, Found
from services.inference.failures import RowFailed
from services.inference.inputs import Prepared
from services.inference.inputs.content import Facts
from services.inference.recipe import recipe_key
from services.inference.segments import Claim
from services.inference.trace import worker_of
from shared.alignment import Selection, select
from shared.annotations import Annotation
from shared.database.driver import driver_of
from shared.database.ledger import LedgerPlace, add_to_ledger
from shared.fingerprint import fingerprint

Record: TypeAlias = tuple[Any, ...]
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
    ),
}


@dataclass(frozen=True, slots=True)
class Succeeded:
    row: Prepared
    found: Sequence[Found]
    trace: str


@dataclass(frozen=True, slots=True)
class Failed:
    data_row_id: UUID
    error: RowFailed
    attempts: int = 1


@dataclass(slots=True)
class _Numbered:
    """A detection as `shared.alignment.select` sees it."""

    ordinal: int
    model_class: str
    confidence: float
    area: float | None
    attributes: Attributes
    annotation: Annotation

    @property
    def kind(self) -> str:
        return self.annotation.kind


@dataclass(slots=True)
class Outcomes:
    """What batches of one claim leave in the tables, as records ready to be copied there."""

    claim: Claim
    records: dict[str, list[Record]] = field(default_factory=lambda: {table: [] for table in _COLUMNS})
    ledger: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_read: list[Prepared] = field(default_factory=list)
    succeeded: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Stage and code of each row that failed."""

    @property
    def failed(self) -> int:
        return len(self.failures)

    @classmethod
    def of(cls, claim: Claim, succeeded: Sequence[Succeeded], failed: Sequence[Failed] = ()) -> "Outcomes":
        """Pure, and for any thread."""
        found = cls(claim)
        found._add_succeeded(succeeded)
        run, worker = (claim.model_run_id, claim.workspace_id, claim.segment_id, claim.execution), worker_of(claim)
        found.records["row_outcomes"] += [
            (
                *(*run, row.data_row_id, "failed"),
                *(row.error.stage, row.error.code, row.error.detail),
                *(row.attempts + claim.earlier_attempts.get(row.data_row_id, 0), 0, worker, None),
            )
            for row in failed
        ]
        found.failures = [(row.error.stage, row.error.code) for row in failed]
        return found

    @classmethod
    def together(cls, parts: Sequence["Outcomes"]) -> "Outcomes":
        """All of one claim."""
        if len(parts) == 1:
            return parts[0]
        found = cls(parts[0].claim)
        for part in parts:
            for table, records in part.records.items():
                found.records[table] += records
            found.ledger.update(part.ledger)
            found.first_read += part.first_read
            found.succeeded += part.succeeded
            found.failures += part.failures
        return found

    def _add_succeeded(self, succeeded: Sequence[Succeeded]) -> None:
        claim, annotations = self.claim, _Annotations()
        recipe = recipe_key(claim.configuration)
        for one in succeeded:
            content = one.row.content
            detections = [
                _Numbered(n, of.model_class, of.confidence, of.annotation.area(), of.attributes, of.annotation)
                for n, of in enumerate(one.found)
            ]
            # Of a withheld row everything reads as if nothing had been found, and nobody takes its result for another.
            withheld = content.data_row_id in claim.withheld
            shown = () if withheld else detections
            selection = select(shown, claim.alignment)
            mark = fingerprint(recipe, content.sha256) if recipe and not withheld else None
            self._add_row(one, len(shown), selection, mark)
            self.ledger.update(selection.ledger)
            self.records["withheld_detections" if withheld else "detections"] += [
                (
                    claim.model_run_id,
                    claim.workspace_id,
                    content.data_row_id,
                    of.ordinal,
                    of.model_class,
                    of.confidence,
                    of.area,
                    orjson.dumps(of.attributes).decode() if of.attributes else None,
                    annotations.json(of.annotation),
                )
                for of in detections
            ]
            if content.first_read:
                self.first_read.append(one.row)
        self.succeeded += len(succeeded)

    def _add_row(self, one: Succeeded, detections: int, selection: Selection, mark: bytes | None) -> None:
        claim, row_id = self.claim, one.row.content.data_row_id
        self.records["row_outcomes"].append(
            (
                *(claim.model_run_id, claim.workspace_id, claim.segment_id, claim.execution, row_id),
                *("succeeded", None, None, None, 1 + claim.earlier_attempts.get(row_id, 0), detections),
                *(one.trace, mark),
            )
        )
        shown = (len(selection.visible), selection.uncertainty)
        self.records["row_projections"].append(
            (claim.model_run_id, claim.alignment.version, row_id, claim.workspace_id, *shown)
        )


class _Annotations:
    """As JSON. Decoders give the same object for things that have no geometry, and it is written once."""

    def __init__(self) -> None:
        self._last: Annotation | None = None
        self._json = ""

    def json(self, annotation: Annotation) -> str:
        if annotation is not self._last:
            self._last, self._json = annotation, annotation.model_dump_json(exclude_none=True)
        return self._json


async def store(session: AsyncSession, outcomes: Outcomes) -> None:
    """Write them and their counters. Raises LeaseLost, and then nothing was written."""
    # The segment first: whoever lost the lease must leave nothing behind.
    await segments.lock(session, outcomes.claim)
    connection = await driver_of(session)
    for table, records in outcomes.records.items():
        if records:
            await connection.copy_records_to_table(table, records=records, columns=_COLUMNS[table])
    claim = outcomes.claim
    place = LedgerPlace(claim.model_run_id, claim.alignment.version, claim.segment_id, claim.workspace_id)
    await add_to_ledger(session, place, outcomes.ledger)
    await _write_facts(session, outcomes.first_read)
    await _count(session, outcomes)


async def _write_facts(session: AsyncSession, rows: Sequence[Prepared]) -> None:
    """What the first reader found out about a content is written once."""
    if not rows:
        return
    facts: list[Facts] = [row.facts for row in rows]
    await session.execute(
        # Locked by id: another run may be the first reader of the same ones just now.
        text("""
            WITH unread AS (
                SELECT data_row_id AS id FROM data_row_contents
                WHERE data_row_id = ANY(CAST(:ids AS uuid[])) AND sha256 IS NULL
                ORDER BY data_row_id FOR UPDATE
            )
            UPDATE data_row_contents c
            SET sha256 = f.sha256, mime_type = f.mime_type, byte_size = f.byte_size,
                width = f.width, height = f.height, length = f.length, read_at = now()
            FROM unnest(CAST(:ids AS uuid[]), CAST(:sha256 AS bytea[]), CAST(:mime_types AS text[]),
                        CAST(:sizes AS bigint[]), CAST(:widths AS int[]), CAST(:heights AS int[]),
                        CAST(:lengths AS int[]))
                AS f(id, sha256, mime_type, byte_size, width, height, length)
            JOIN unread USING (id)
            WHERE c.data_row_id = f.id
        """),
        {
            "ids": [row.content.data_row_id for row in rows],
            "sha256": [row.content.sha256 for row in rows],
            "mime_types": [fact.mime_type for fact in facts],
            "sizes": [fact.byte_size for fact in facts],
            "widths": [fact.width for fact in facts],
            "heights": [fact.height for fact in facts],
            "lengths": [fact.length for fact in facts],
        },
    )


async def _count(session: AsyncSession, outcomes: Outcomes) -> None:
    await session.execute(
        text("""
            UPDATE segments
            SET succeeded = succeeded + :succeeded, failed = failed + :failed, detections = detections + :detections,
                suspect_data_row_id = NULL, suspect_leases = 0
            WHERE id = :id
        """),
        {
            "id": outcomes.claim.segment_id,
            "succeeded": outcomes.succeeded,
            "failed": outcomes.failed,
            "detections": len(outcomes.records["detections"]),
        },
    )
