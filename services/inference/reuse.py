"""Data rows whose result the workspace has already: copied under the segment's lease, with no fetch and no model.

Detections are copied inside the database; what this run's alignment shows of them is worked out here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.inference import segments
from services.inference.machinery import Machinery
from services.inference.metrics import ROWS, timed
from services.inference.recipe import recipe_key
from services.inference.segments import Claim, LeaseLost
from shared.alignment import Alignment
from shared.database.driver import driver_of
from shared.database.known_results import Known, Question, find_known
from shared.database.ledger import LedgerPlace, add_to_ledger
from shared.detections import StoredDetection
from shared.doubt import doubt_of
from shared.selection import Selection, select
from shared.telemetry import logger

_DETECTIONS_AT_ONCE = 10_000

log = logger(__name__)

Seen: TypeAlias = dict[UUID, Selection]

# By id, and this run's among them, which what is stored refers to: so nobody who holds several waits for ever.
_HOLD_SOURCES = text("""
    SELECT r.id FROM model_runs r JOIN projects p ON p.id = r.project_id
    WHERE r.id = ANY(CAST(:ids AS uuid[])) AND NOT r.results_discarded AND p.deleted_at IS NULL
    ORDER BY r.id FOR SHARE OF r
""")

_COPY_OUTCOMES = text("""
    INSERT INTO row_outcomes
        (model_run_id, data_row_id, workspace_id, segment_id, execution, state, attempts, detections, fingerprint,
         reused_from_run_id, reused_from_row_id)
    SELECT :run, k.id, o.workspace_id, :segment, :execution, 'succeeded', k.attempts, o.detections, o.fingerprint,
           coalesce(o.reused_from_run_id, o.model_run_id), coalesce(o.reused_from_row_id, o.data_row_id)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:runs AS uuid[]), CAST(:rows AS uuid[]), CAST(:fingerprints AS bytea[]),
                CAST(:attempts AS int[])) AS k(id, source_run, source_row, fingerprint, attempts)
    JOIN row_outcomes o ON o.model_run_id = k.source_run AND o.data_row_id = k.source_row
    WHERE o.workspace_id = :workspace AND o.fingerprint = k.fingerprint
    RETURNING data_row_id
""")

_COPY_DETECTIONS = text("""
    INSERT INTO detections
        (model_run_id, data_row_id, ordinal, workspace_id, model_class, confidence, area, attributes, annotation)
    SELECT :run, k.id, d.ordinal, d.workspace_id, d.model_class, d.confidence, d.area, d.attributes, d.annotation
    FROM unnest(CAST(:ids AS uuid[]), CAST(:runs AS uuid[]), CAST(:rows AS uuid[])) AS k(id, source_run, source_row)
    JOIN detections d ON d.model_run_id = k.source_run AND d.data_row_id = k.source_row
    WHERE d.workspace_id = :workspace
    RETURNING data_row_id, ordinal, model_class, confidence, area, :kind, CAST(attributes AS text),
              CASE WHEN model_class = ANY(CAST(:looked_at AS text[])) THEN CAST(annotation AS text) END
""")

_STORE_PROJECTIONS = text("""
    INSERT INTO row_projections
        (model_run_id, alignment_version, data_row_id, workspace_id, shown, uncertainty, margin, entropy)
    SELECT :run, :version, p.id, :workspace, p.shown, p.uncertainty, p.margin, p.entropy
    FROM unnest(CAST(:ids AS uuid[]), CAST(:shown AS int[]), CAST(:uncertainties AS float8[]),
                CAST(:margins AS float8[]), CAST(:entropies AS float8[]))
        AS p(id, shown, uncertainty, margin, entropy)
""")

# Whom earlier workers may have died of stays noted.
_COUNT = text("""
    UPDATE segments SET succeeded = succeeded + :succeeded, detections = detections + :detections WHERE id = :segment
""")


async def reuse_known(parts: Machinery, claim: Claim) -> Claim:
    """Store what is known; the claim that is left has the other rows. Raises LeaseLost."""
    key = recipe_key(claim.configuration)
    if key is None or not claim.configuration.reuse:
        return claim
    copied: set[UUID] = set()
    try:
        known = await _look(parts, claim, key)
        for portion in _portions(known):
            copied |= await timed("reuse", _Copy(parts, claim, portion).store())
    except LeaseLost:
        raise
    except Exception as error:  # asking the model is always right, if slower
        log.warning("reuse_failed", error=f"{type(error).__name__}: {error}"[:300])
    ROWS.labels("reused").inc(len(copied))
    return replace(claim, pending=tuple(row for row in claim.pending if row not in copied))


async def _look(parts: Machinery, claim: Claim, key: bytes) -> list[Known]:
    model_id = claim.configuration.catalog_model_id
    rows = [row for row in claim.pending if row not in claim.withheld]
    async with parts.sessions() as session:
        return await find_known(
            session, Question(claim.workspace_id, model_id, key, rows, model_run_id=claim.model_run_id)
        )


def _portions(known: Sequence[Known]) -> Iterator[list[Known]]:
    """Some thousand detections at a time, and at least one row."""
    portion: list[Known] = []
    detections = 0
    for one in known:
        if portion and detections + one.detections > _DETECTIONS_AT_ONCE:
            yield portion
            portion, detections = [], 0
        portion.append(one)
        detections += one.detections
    if portion:
        yield portion


class _Copy:
    """One transaction."""

    def __init__(self, parts: Machinery, claim: Claim, known: Sequence[Known]) -> None:
        self._parts = parts
        self._claim = claim
        self._known = known
        self._of = {"run": claim.model_run_id, "workspace": claim.workspace_id}

    async def store(self) -> set[UUID]:
        """The rows that have their outcome now: fewer when a source has gone since it was found. Raises LeaseLost."""
        async with self._parts.sessions.begin() as session:
            # The segment first: whoever lost the lease must leave nothing behind.
            await segments.lock(session, self._claim)
            copied = await self._copy_outcomes(session, await self._still_there(session))
            if copied:
                detections = await self._copy_detections(session, copied)
                see = partial(_see, [one.data_row_id for one in copied], detections, self._claim.alignment)
                seen = await self._parts.in_thread(see)
                await self._store_projections(session, seen)
                await self._add_to_ledger(session, seen)
                counts = {"succeeded": len(copied), "detections": len(detections), "segment": self._claim.segment_id}
                await session.execute(_COUNT, counts)
            return {one.data_row_id for one in copied}

    async def _still_there(self, session: AsyncSession) -> list[Known]:
        """Until commit: nobody discards or deletes a source meanwhile."""
        ids = {one.source_run_id for one in self._known} | {self._claim.model_run_id}
        held = set(await session.scalars(_HOLD_SOURCES, {"ids": list(ids)}))
        return [one for one in self._known if one.source_run_id in held]

    async def _copy_outcomes(self, session: AsyncSession, known: Sequence[Known]) -> list[Known]:
        place = {"segment": self._claim.segment_id, "execution": self._claim.execution}
        earlier = self._claim.earlier_attempts
        more = {
            "fingerprints": [one.fingerprint for one in known],
            "attempts": [earlier.get(one.data_row_id, 0) for one in known],
        }
        copied = set(await session.scalars(_COPY_OUTCOMES, {**self._of, **place, **_pairs(known), **more}))
        return [one for one in known if one.data_row_id in copied]

    async def _copy_detections(self, session: AsyncSession, known: Sequence[Known]) -> list[tuple[Any, ...]]:
        """Each as (data row, fields of a `StoredDetection`)."""
        kind = self._claim.configuration.card.annotation_kind
        looked_at = self._claim.alignment.classes_to_look_at(kind)
        found = await session.execute(
            _COPY_DETECTIONS, {**self._of, **_pairs(known), "kind": kind, "looked_at": looked_at}
        )
        return [tuple(one) for one in found]

    async def _store_projections(self, session: AsyncSession, seen: Seen) -> None:
        doubts = [doubt_of(selection) for selection in seen.values()]
        projections = {
            "version": self._claim.alignment.version,
            "ids": list(seen),
            "shown": [len(selection.visible) for selection in seen.values()],
            "uncertainties": [one.least_confidence for one in doubts],
            "margins": [one.margin for one in doubts],
            "entropies": [one.entropy for one in doubts],
        }
        await session.execute(_STORE_PROJECTIONS, {**self._of, **projections})

    async def _add_to_ledger(self, session: AsyncSession, seen: Seen) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for selection in seen.values():
            counts.update(selection.ledger)
        claim = self._claim
        place = LedgerPlace(claim.model_run_id, claim.alignment.version, claim.segment_id, claim.workspace_id)
        await add_to_ledger(await driver_of(session), place, counts)


def _pairs(known: Sequence[Known]) -> dict[str, list[UUID]]:
    """Data rows and what is copied for them."""
    return {
        "ids": [one.data_row_id for one in known],
        "runs": [one.source_run_id for one in known],
        "rows": [one.source_row_id for one in known],
    }


def _see(data_row_ids: Sequence[UUID], detections: Sequence[tuple[Any, ...]], alignment: Alignment) -> Seen:
    by_row: defaultdict[UUID, list[StoredDetection]] = defaultdict(list)
    for data_row_id, *fields in detections:
        by_row[data_row_id].append(StoredDetection(*fields))
    for found in by_row.values():
        found.sort(key=lambda one: one.ordinal)
    return {data_row_id: select(by_row.get(data_row_id, ()), alignment) for data_row_id in data_row_ids}
