"""Operations as rows: added by requests, leased by workers, ended once.

A worker proves its right to write by the lease's generation, inside its transaction. Lock order: the operation before
segments, runs and streams.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.events import OperationCancelled, OperationEvent, OperationFailed, OperationSucceeded
from shared.contracts.http import problem_of
from shared.contracts.operations import OPERATION_KINDS, OperationProgress, OperationState
from shared.database import imported_runs, model_registrations
from shared.database.tables import OperationRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import PrelabelError
from shared.ids import new_id

Json = dict[str, Any]

_EVENTS: Mapping[OperationState, type[OperationEvent]] = {
    "succeeded": OperationSucceeded,
    "failed": OperationFailed,
    "cancelled": OperationCancelled,
}
_WITHOUT_SUCCESS: Mapping[str, Callable[[UnitOfWork, OperationRow], Awaitable[None]]] = {
    model_registrations.KIND: model_registrations.leave_failed,
    imported_runs.KIND: imported_runs.leave_failed,
}
"""What else changes in the transaction in which an operation of a kind fails or is cancelled."""
_LONGEST_DETAIL = 500


Lease: TypeAlias = tuple[UUID, int]
"""An operation and the generation that is the right to write for it."""


class OperationLost(Exception):
    """Another worker holds the operation now, or it was cancelled. Nothing may be written."""


@dataclass(frozen=True, slots=True)
class NewOperation:
    """`kind` is one of `OPERATION_KINDS`; `parameters` are for its handler and shown to nobody."""

    kind: str
    workspace_id: UUID
    project_id: UUID | None
    parameters: Json
    created_by: UUID


@dataclass(frozen=True, slots=True)
class OperationClaim:
    """A leased operation. `progress` is what earlier workers reached."""

    id: UUID
    generation: int
    kind: str
    workspace_id: UUID
    project_id: UUID | None
    parameters: Json
    progress: OperationProgress
    attempts: int
    created_by: UUID

    @property
    def lease(self) -> Lease:
        return self.id, self.generation


# Workspaces in turn: the one with the fewest operations under way, then the oldest.
_TAKE = text("""
    WITH free AS (
        SELECT o.id FROM operations o
        LEFT JOIN (
            SELECT workspace_id, count(*) AS running FROM operations WHERE state = 'running' GROUP BY workspace_id
        ) busy ON busy.workspace_id = o.workspace_id
        WHERE o.kind = ANY(CAST(:kinds AS text[]))
          AND (o.state = 'queued'
               OR (o.state = 'running' AND o.heartbeat_at < now() - make_interval(secs => :lease)))
        ORDER BY coalesce(busy.running, 0), o.id
        LIMIT 1 FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE operations o
    SET state = 'running', holder = :holder, generation = o.generation + 1, attempts = o.attempts + 1,
        heartbeat_at = clock_timestamp(), started_at = coalesce(o.started_at, clock_timestamp())
    FROM free WHERE o.id = free.id
    RETURNING o.id, o.generation, o.kind, o.workspace_id, o.project_id, o.parameters, o.progress, o.attempts,
              o.created_by
""").columns(parameters=JSONB(), progress=JSONB())

_LOCK = text("SELECT 1 FROM operations WHERE id = :id AND generation = :generation AND state = 'running' FOR UPDATE")

# What a step has locked is passed over: nobody can take it meanwhile, and its commit says that the worker lives.
_HEARTBEAT = text("""
    WITH held AS (
        SELECT o.id FROM operations o
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS h(id, generation)
            ON o.id = h.id AND o.generation = h.generation
        WHERE o.state = 'running'
        ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE operations o SET heartbeat_at = clock_timestamp() FROM held WHERE o.id = held.id
""")

_STILL_HELD = text("""
    SELECT o.id, o.generation FROM operations o
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:generations AS int[])) AS h(id, generation)
        ON o.id = h.id AND o.generation = h.generation
    WHERE o.state = 'running'
""")


async def add_operation(work: UnitOfWork, wanted: NewOperation) -> OperationRow:
    """Queued. The workers of its kind are woken after the commit."""
    row = OperationRow(
        id=new_id(),
        workspace_id=wanted.workspace_id,
        project_id=wanted.project_id,
        kind=wanted.kind,
        state="queued",
        parameters=wanted.parameters,
        progress=OperationProgress().model_dump(),
        created_by=wanted.created_by,
    )
    work.session.add(row)
    await work.session.flush()
    await work.session.refresh(row)
    work.ring(OPERATION_KINDS[wanted.kind])
    return row


async def claim(
    session: AsyncSession, *, kinds: Sequence[str], holder: str, lease_seconds: float
) -> OperationClaim | None:
    """Lease the fairest free operation of these kinds; None when there is none."""
    taken = await session.execute(_TAKE, {"kinds": list(kinds), "holder": holder, "lease": lease_seconds})
    row = taken.one_or_none()
    if row is None:
        return None
    found = row._mapping
    return OperationClaim(**{**found, "progress": OperationProgress.model_validate(found["progress"])})


async def lock(session: AsyncSession, claimed: OperationClaim) -> None:
    """Hold the operation until commit, as the first statement of a transaction that writes for it."""
    found = await session.scalar(_LOCK, {"id": claimed.id, "generation": claimed.generation})
    if found is None:
        raise OperationLost


async def heartbeat(session: AsyncSession, leases: Sequence[Lease]) -> set[Lease]:
    """Say that this worker lives; answers the leases it still holds."""
    of = {"ids": [lease[0] for lease in leases], "generations": [lease[1] for lease in leases]}
    await session.execute(_HEARTBEAT, of)
    return {(operation_id, generation) for operation_id, generation in await session.execute(_STILL_HELD, of)}


async def prolong(session: AsyncSession, claimed: OperationClaim) -> None:
    """For a locked operation, as the last statement: a long transaction must not look like a silent worker."""
    await session.execute(
        text("UPDATE operations SET heartbeat_at = clock_timestamp() WHERE id = :id AND state = 'running'"),
        {"id": claimed.id},
    )


async def report_progress(session: AsyncSession, claimed: OperationClaim, progress: OperationProgress) -> None:
    """For a locked operation."""
    row = await session.get_one(OperationRow, claimed.id, populate_existing=True)
    row.progress = progress.model_dump()


async def remember(session: AsyncSession, claimed: OperationClaim, parameters: Json) -> None:
    """For a locked operation: what the next attempt begins with, in place of what was asked."""
    row = await session.get_one(OperationRow, claimed.id, populate_existing=True)
    row.parameters = parameters
    await session.flush()


async def give_back(session: AsyncSession, claimed: OperationClaim, *, blameless: bool) -> None:
    """Leave it for any worker, at once. `blameless`: this attempt does not count."""
    await session.execute(
        text("""
            UPDATE operations
            SET state = 'queued', holder = NULL, heartbeat_at = NULL, attempts = attempts - CAST(:back AS int)
            WHERE id = :id AND generation = :generation AND state = 'running'
        """),
        {"id": claimed.id, "generation": claimed.generation, "back": int(blameless)},
    )


async def succeed(work: UnitOfWork, claimed: OperationClaim, result: Json) -> None:
    """For a locked operation, in the transaction of its last effect."""
    row = await work.session.get_one(OperationRow, claimed.id, populate_existing=True)
    row.result = result
    await end_operation(work, row, "succeeded")


async def fail(work: UnitOfWork, claimed: OperationClaim, error: PrelabelError) -> None:
    """For a locked operation."""
    row = await work.session.get_one(OperationRow, claimed.id, populate_existing=True)
    row.problem = problem_of(error)
    await end_operation(work, row, "failed")


async def end_operation(work: UnitOfWork, row: OperationRow, state: OperationState) -> None:
    """For a locked operation that has not ended. Whoever worked on it can write nothing more."""
    row.state, row.holder, row.heartbeat_at = state, None, None
    row.generation += 1
    row.finished_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    problem = row.problem or {}
    if state != "succeeded" and row.kind in _WITHOUT_SUCCESS:
        await _WITHOUT_SUCCESS[row.kind](work, row)
    work.emit(
        _EVENTS[state](
            workspace_id=row.workspace_id,
            project_id=row.project_id,
            operation_id=row.id,
            kind=row.kind,
            code=problem.get("code"),
            detail=problem["detail"][:_LONGEST_DETAIL] if problem else None,
        )
    )
