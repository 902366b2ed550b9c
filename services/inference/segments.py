"""Leases on segments. A worker proves its right to write by the lease's generation, inside its transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.inference import runs
from shared.alignment import Alignment
from shared.database.alignments import read_alignment
from shared.database.driver import Driver
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.database.withholding import WITHHELD
from shared.run_configuration import RunConfiguration
from shared.telemetry import logger

log = logger(__name__)


class LeaseLost(Exception):
    """Another worker holds the segment now, or the run was cancelled or paused. Nothing may be written."""


class RowsLeft(Exception):
    """A worker took a segment for done that is not. It must never be closed like that."""


class UnreadableRun(Exception):
    """What the run froze cannot be read by this worker, as after a roll-back: it must cost this run alone."""

    def __init__(self, model_run_id: UUID) -> None:
        super().__init__("the worker cannot read what the run froze at submit; submit it again")
        self.model_run_id = model_run_id


Lease: TypeAlias = tuple[UUID, int]
"""A segment and the generation that is the right to write for it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A leased segment and what is left of it. `suspect` is a row that may have killed earlier workers.

    `earlier_attempts` are those of a row in executions before this one, where there were any. Nothing of `withheld`
    rows is shown.
    """

    segment_id: UUID
    generation: int
    workspace_id: UUID
    project_id: UUID
    model_run_id: UUID
    execution: int
    alignment: Alignment
    configuration: RunConfiguration
    pending: tuple[UUID, ...]
    taken_over: bool
    suspect: UUID | None
    suspect_leases: int
    earlier_attempts: Mapping[UUID, int] = field(default_factory=dict)
    was_stalled: bool = False
    holder: str = ""
    rows_per_second: float | None = None
    traceparent: str | None = None
    withheld: frozenset[UUID] = frozenset()

    @property
    def lease(self) -> Lease:
        return self.segment_id, self.generation


# Runs in turn: the one with the fewest live leases, then the one served longest ago; other projects first. Only the
# segment that is taken is locked: the runs are tried one after the other until one has a free segment.
_TAKE = f"""
    WITH turn AS MATERIALIZED (
        SELECT r.id, m.rows_per_second
        FROM model_runs r
        JOIN catalog_models m ON m.id = r.catalog_model_id AND m.state = 'ready'
        CROSS JOIN LATERAL (
            SELECT count(*) AS live FROM segments s
            WHERE s.model_run_id = r.id AND s.state = 'leased'
              AND s.heartbeat_at > now() - make_interval(secs => $2)
        ) l
        WHERE r.state IN ('queued', 'running', 'stalled') AND r.purpose = $1
          AND NOT (r.state = 'stalled' AND r.waiting_for = 'object_store')
        ORDER BY r.project_id = ANY($4), l.live, r.priority, r.served_at NULLS FIRST, r.id
        LIMIT 32
    ), free AS MATERIALIZED (
        SELECT f.id, f.state, turn.rows_per_second
        FROM turn CROSS JOIN LATERAL (
            SELECT id, state FROM segments
            WHERE model_run_id = turn.id
              AND (
                  (state = 'open' AND NOT $5)
                  OR (state = 'leased' AND heartbeat_at < now() - make_interval(secs => $2))
              )
            ORDER BY ordinal LIMIT 1 FOR UPDATE SKIP LOCKED
        ) f
        LIMIT 1
    )
    UPDATE segments s
    SET state = 'leased', holder = $3, generation = s.generation + 1, heartbeat_at = clock_timestamp(),
        started_at = coalesce(s.started_at, clock_timestamp()),
        takeovers = s.takeovers + (free.state = 'leased')::int
    FROM free WHERE s.id = free.id
    RETURNING s.model_run_id, free.rows_per_second, s.id, s.generation, s.workspace_id, s.project_id, s.execution,
              s.data_row_ids, free.state = 'leased' AS taken_over, s.suspect_data_row_id, s.suspect_leases,
              s.succeeded + s.failed + s.skipped = 0 AS is_untouched, s.earlier_attempts,
              ARRAY({WITHHELD.format(workspace="s.workspace_id", ids="s.data_row_ids")}) AS withheld
"""

_PENDING = text("""
    SELECT wanted.id FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS wanted(id, place)
    WHERE NOT EXISTS (SELECT 1 FROM row_outcomes o WHERE o.model_run_id = :run AND o.data_row_id = wanted.id)
    ORDER BY wanted.place
""")

_LOCK = "SELECT 1 FROM segments WHERE id = $1 AND generation = $2 AND state = 'leased' FOR UPDATE"

# Locked by id, as everywhere: a cancel locks the same ones.
_HEARTBEAT = text("""
    WITH held AS (
        SELECT s.id FROM segments s
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS h(id, generation)
            ON s.id = h.id AND s.generation = h.generation
        WHERE s.state = 'leased'
        ORDER BY s.id FOR UPDATE OF s
    )
    UPDATE segments s SET heartbeat_at = clock_timestamp() FROM held WHERE s.id = held.id
    RETURNING s.id, s.generation
""")

_SUSPECT = text("""
    UPDATE segments
    SET suspect_leases = CASE WHEN suspect_data_row_id = :row THEN suspect_leases + 1 ELSE 1 END,
        suspect_data_row_id = :row
    WHERE id = :id AND generation = :generation AND state = 'leased'
    RETURNING suspect_leases
""")

_CLOSE = text("""
    UPDATE segments SET state = 'done', holder = NULL, finished_at = clock_timestamp() WHERE id = :id
    RETURNING succeeded, failed, skipped, detections,
              succeeded + failed + skipped = cardinality(data_row_ids) AS is_whole
""")


_LEFT = """
    SELECT EXISTS (
        SELECT 1 FROM segments
        WHERE state = 'leased' AND purpose = $1 AND heartbeat_at < now() - make_interval(secs => $2)
    )
"""


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, and what: segments of the purpose, other projects than those it holds rather, and with
    `only_left` none but those that a silent worker has lost."""

    purpose: str
    holder: str
    lease_seconds: float
    held_projects: Sequence[UUID] = ()
    only_left: bool = False


async def are_left(driver: Driver, purpose: str, lease_seconds: float) -> bool:
    """Whether a silent worker has lost segments that nobody has taken yet."""
    return bool(await driver.fetchval(_LEFT, purpose, lease_seconds))


async def claim(work: UnitOfWork, one: Claimant) -> Claim | None:
    """Lease the fairest free segment; None when there is none whose model is ready."""
    connection = await work.session.connection()
    wanted = (one.purpose, one.lease_seconds, one.holder, list(one.held_projects), one.only_left)
    taken = (await connection.exec_driver_sql(_TAKE, wanted)).one_or_none()
    if taken is None:
        return None
    run = await runs.start(work, taken.model_run_id)
    if run is None:  # cancelled or paused since we looked: its segments are closed in that transaction
        raise LeaseLost
    alignment, configuration = await _read(work.session, run)
    left = taken.data_row_ids
    if not taken.is_untouched:  # outcomes are committed together with these counts
        left = await work.session.scalars(_PENDING, {"ids": left, "run": run.id})
    return Claim(
        segment_id=taken.id,
        generation=taken.generation,
        workspace_id=taken.workspace_id,
        project_id=taken.project_id,
        model_run_id=run.id,
        execution=taken.execution,
        alignment=alignment,
        configuration=configuration,
        pending=tuple(left),
        taken_over=taken.taken_over,
        suspect=taken.suspect_data_row_id,
        suspect_leases=taken.suspect_leases,
        earlier_attempts=dict(zip(taken.data_row_ids, taken.earlier_attempts or (), strict=False)),
        was_stalled=run.state == "stalled",
        holder=one.holder,
        rows_per_second=taken.rows_per_second,
        traceparent=run.traceparent,
        withheld=frozenset(taken.withheld),
    )


async def _read(session: AsyncSession, run: ModelRunRow) -> tuple[Alignment, RunConfiguration]:
    """Leniently: a newer api may have frozen more than this worker knows."""
    try:
        return await read_alignment(session, run), RunConfiguration.model_validate(run.configuration, extra="ignore")
    except ValidationError as error:
        log.error("unreadable_run", model_run_id=str(run.id), exc_info=error)
        raise UnreadableRun(run.id) from error


async def lock(session: AsyncSession, claimed: Claim) -> None:
    """Hold the segment until commit, as the first statement of a transaction that writes for it."""
    found = await (await session.connection()).exec_driver_sql(_LOCK, claimed.lease)
    if found.scalar() is None:
        raise LeaseLost


async def lock_driven(driver: Driver, claimed: Claim) -> None:
    """The same in a transaction without a session."""
    if await driver.fetchval(_LOCK, *claimed.lease) is None:
        raise LeaseLost


async def heartbeat(session: AsyncSession, claims: Sequence[Claim]) -> set[Lease]:
    """Say that this worker lives; answers the leases it still holds."""
    kept = await session.execute(
        _HEARTBEAT, {"ids": [c.segment_id for c in claims], "generations": [c.generation for c in claims]}
    )
    return {(segment_id, generation) for segment_id, generation in kept}


async def suspect(session: AsyncSession, claimed: Claim, data_row_id: UUID) -> None:
    """Commit which row runs alone next, so that its next worker knows whom to blame."""
    found = await session.scalar(
        _SUSPECT, {"id": claimed.segment_id, "generation": claimed.generation, "row": data_row_id}
    )
    if found is None:
        raise LeaseLost


async def give_back(session: AsyncSession, claimed: Claim) -> bool:
    """Leave the segment for any worker, at once and without blame; False when it was lost before."""
    left = await session.scalar(
        text("""
            UPDATE segments SET state = 'open', holder = NULL, heartbeat_at = NULL
            WHERE id = :id AND generation = :generation AND state = 'leased'
            RETURNING id
        """),
        {"id": claimed.segment_id, "generation": claimed.generation},
    )
    return left is not None


async def finish(work: UnitOfWork, claimed: Claim) -> None:
    """Close a segment whose rows all have an outcome, and the run with its last one.

    Raises RowsLeft when some have none: whoever takes the segment next does them.
    """
    await lock(work.session, claimed)
    ended = (await work.session.execute(_CLOSE, {"id": claimed.segment_id})).one()
    if not ended.is_whole:
        raise RowsLeft
    await runs.segment_ended(work, claimed.model_run_id, ended)
