"""Labels made elsewhere become labels, a bucket a step. What is there already stays, whatever the upload says."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.exchange.formats.base import Refused
from services.api.exchange.imports.content import content
from services.api.exchange.imports.order import ImportGround, opened
from services.api.exchange.imports.reading import Reading
from services.api.exchange.imports.report import Tally, line, refused_line
from services.api.exchange.imports.restoring import Hand, Restoring, restoring
from services.api.exchange.imports.settling import Settling
from services.api.exchange.imports.spill import Record, Spill
from services.api.projects.queries import hold_project
from shared.annotations import ANNOTATION
from shared.database.driver import driver_of
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Unavailable
from shared.ids import new_id
from shared.operations import RunningOperation

_RECORDS_A_STEP = 5_000
_LABEL, _HISTORY = 8, 3
"""Lengths of records; a shorter one says that a data row has nothing."""
_COLUMNS = (
    *("id", "workspace_id", "project_id", "data_row_id", "feature_schema_id", "annotation", "classifications"),
    *("provenance", "extras", "external_id", "created_by", "created_at", "updated_at"),
)
_MAKE_REVIEWS = text("""
    INSERT INTO data_row_reviews (data_row_id, workspace_id, project_id)
    SELECT id, :workspace, :project FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
    ON CONFLICT (data_row_id) DO NOTHING
""")
_LOCK_REVIEWS = text("""
    SELECT data_row_id, state FROM data_row_reviews
    WHERE workspace_id = :workspace AND data_row_id = ANY(CAST(:ids AS uuid[])) ORDER BY data_row_id FOR UPDATE
""")
_KNOWN = """
    SELECT id, external_id, data_row_id, feature_schema_id, annotation::text, classifications::text, deleted_at
    FROM labels WHERE workspace_id = $1 AND project_id = $2 AND (external_id = ANY($3) OR id = ANY($4))
"""
_ANSWERS = """
    SELECT data_row_id, feature_schema_id, annotation::text FROM labels
    WHERE workspace_id = $1 AND data_row_id = ANY($2) AND deleted_at IS NULL
    AND annotation ->> 'kind' = ANY($3)
"""
_RAISE = text("""
    UPDATE data_row_reviews SET revision = revision + 1, updated_at = :now
    WHERE workspace_id = :workspace AND data_row_id = ANY(CAST(:ids AS uuid[]))
""")
_ONCE = ["radio", "checklist", "free_text"]


async def import_labels(operation: RunningOperation) -> None:
    """Safe to do again: a label that an earlier worker stored is there under its id."""
    async with opened(operation, "labels") as ground:
        about = {"format": ground.order.format, "operation_id": str(operation.claim.id)}
        settling = Settling(ground.vocabulary, about)
        with Spill(ground.size) as spill:
            reading = Reading(operation, ground.project, ground.reader, settling.take, spill)
            await reading.run(ground.report)
            await _Adding(operation, ground, settling, reading.tally).run(spill)


@dataclass(slots=True)
class _Adding:
    operation: RunningOperation
    ground: ImportGround
    settling: Settling
    tally: Tally
    counts: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)

    async def run(self, spill: Spill) -> None:
        part = 0
        for number in range(spill.buckets):
            for records in await asyncio.to_thread(_portions, spill.bucket(number)):
                await self._store(part, records)
                part += 1
        async with self.operation.step() as work:
            await self.operation.succeed(work, self._result())

    async def _store(self, part: int, records: Sequence[Record]) -> None:
        claim, project = self.operation.claim, self.ground.project
        async with self.operation.step() as work:
            held = await hold_project(work.session, project.workspace_id, project.id)
            if held.ontology_version != self.ground.project.ontology_version:
                raise Unavailable("the ontology has changed meanwhile; the upload is read again")
            rows = sorted({UUID(bytes=record[0]) for record in records if len(record) in {_LABEL, _HISTORY}})
            states = await _lock_reviews(work, self.ground, rows)
            now = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
            adding = _Portion(await _known(work.session, self.ground, records), await _claims(work, self.ground, rows))
            lines = await asyncio.to_thread(adding.decide, records, states)
            of = (project.workspace_id, project.id)
            made = [(label_id, *of, *label, claim.created_by, now, now) for label_id, label in adding.made]
            if made:
                driver = await driver_of(work.session)
                await driver.copy_records_to_table("labels", records=made, columns=_COLUMNS)
            restored = await self._restore(work, records, now)
            raised = {label[0] for _, label in adding.made} - restored.data_rows
            await work.session.execute(_RAISE, {"workspace": of[0], "ids": sorted(raised), "now": now})
            await self.ground.report.bucket(part, lines + restored.lines)
            self.counts.update(adding.counts)
            await self.operation.report(work, sum(self.counts.values()), self.tally.read, "storing")

    async def _restore(self, work: UnitOfWork, records: Sequence[Record], now: datetime) -> Restoring:
        """The labels are there already."""
        histories = [record for record in records if len(record) == _HISTORY]
        hand = Hand(self.ground, self.settling.required(), self.settling.about, self.operation.claim.created_by, now)
        restored = await restoring(work.session, hand, histories)
        if histories:
            await asyncio.to_thread(restored.take)
            await restored.write(work.session)
            self.decisions.update(restored.counts)
        return restored

    def _result(self) -> dict[str, Any]:
        failed = self.tally.refused + self.counts["failed"]
        statuses = {name: self.counts[name] for name in ("created", "unchanged", "conflict", "deleted")}
        losses = [one.model_dump() for one in self.ground.losses.listed()]
        decisions = {name: self.decisions[name] for name in ("created", "unchanged", "left_out")}
        return {"read": self.tally.read, **statuses, "failed": failed, "errors": self.tally.errors,
                "decisions": decisions, "losses": losses}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Known:
    id: UUID
    said: tuple[Any, ...]
    deleted: bool


Claims = defaultdict[UUID, set[tuple[UUID, UUID | None]]]


@dataclass(slots=True)
class _Portion:
    """`known` are labels by what they are called; `claims` what a data row has once."""

    known: dict[str, _Known]
    claims: Claims
    made: list[tuple[UUID, tuple[Any, ...]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def decide(self, records: Sequence[Record], states: dict[UUID, str]) -> list[bytes]:
        return [self._decide(record, states) for record in records if len(record) == _LABEL]

    def _decide(self, record: Record, states: dict[UUID, str]) -> bytes:
        row, place, own_id, feature, annotation, answers, provenance, extras = record
        row_id, feature_id = UUID(bytes=row), UUID(bytes=feature)
        known, said = self.known.get(own_id), (row_id, *content(feature_id, annotation, answers))
        if known is not None:
            status = "deleted" if known.deleted else "unchanged" if known.said == said else "conflict"
            self.counts[status] += 1
            return line(place, status, id=own_id, data_row_id=row_id, label_id=known.id)
        claims = {(feature_id, one) for one in ANNOTATION.validate_json(annotation).claims()}
        error = self._against(states.get(row_id, "open"), row_id, claims)
        if error is not None:
            self.counts["failed"] += 1
            return refused_line(place, own_id, error)
        label_id = new_id()
        self.claims[row_id] |= claims
        self.known[own_id] = _Known(label_id, said, deleted=False)
        self.made.append((label_id, (row_id, feature_id, annotation, answers, provenance, extras, own_id)))
        self.counts["created"] += 1
        return line(place, "created", id=own_id, data_row_id=row_id, label_id=label_id)

    def _against(self, state: str, row_id: UUID, claims: set[tuple[UUID, UUID | None]]) -> Refused | None:
        if state != "open":
            return Refused("review_submitted", "the review of this data row is submitted; reopen it first")
        if claims & self.claims[row_id]:
            return Refused("already_answered", "the data row has this answer, or the only one there can be")
        return None


def _portions(chunks: Iterable[Sequence[Record]]) -> list[list[Record]]:
    """By data row, so that locks are taken in order; a data row may be cut, and its history comes last."""
    found = (record for chunk in chunks for record in chunk)
    records = sorted(found, key=lambda record: (record[0], len(record) == _HISTORY))
    return [records[at : at + _RECORDS_A_STEP] for at in range(0, len(records), _RECORDS_A_STEP)]


async def _lock_reviews(work: UnitOfWork, ground: ImportGround, rows: Sequence[UUID]) -> dict[UUID, str]:
    of = {"workspace": ground.project.workspace_id, "project": ground.project.id, "ids": list(rows)}
    await work.session.execute(_MAKE_REVIEWS, of)
    found = await work.session.execute(_LOCK_REVIEWS, {"workspace": of["workspace"], "ids": of["ids"]})
    return {row_id: state for row_id, state in found}


async def _known(session: AsyncSession, ground: ImportGround, records: Sequence[Record]) -> dict[str, _Known]:
    names = list({record[2] for record in records if len(record) == _LABEL})
    driver = await driver_of(session)
    of = (ground.project.workspace_id, ground.project.id)
    known: dict[str, _Known] = {}
    for row in await driver.fetch(_KNOWN, *of, names, [one for one in map(_uuid, names) if one is not None]):
        said = content(row["feature_schema_id"], row["annotation"], row["classifications"])
        found = _Known(row["id"], (row["data_row_id"], *said), row["deleted_at"] is not None)
        known[str(row["id"])] = found
        if row["external_id"]:
            known[row["external_id"]] = found
    return known


async def _claims(work: UnitOfWork, ground: ImportGround, rows: Sequence[UUID]) -> Claims:
    driver = await driver_of(work.session)
    claims: Claims = defaultdict(set)
    for row_id, feature_id, annotation in await driver.fetch(_ANSWERS, ground.project.workspace_id, list(rows), _ONCE):
        claims[row_id] |= {(feature_id, one) for one in ANNOTATION.validate_json(annotation).claims()}
    return claims


def _uuid(text_: str) -> UUID | None:
    try:
        return UUID(text_)
    except ValueError:
        return None
