"""Verbs of a run as its api does them, on a small world; and its counters and events, seen to be exact."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from sqlalchemy import select

from services.api.access.principal import Principal, Role
from services.api.model_runs.cancel import cancel_model_run
from services.api.model_runs.pause import pause_model_run, resume_model_run
from services.api.model_runs.retry import retry_failed_rows
from services.api.model_runs.undo import undo_model_run
from shared.contracts.envelope import Envelope
from shared.contracts.run_verbs import RunVerb
from shared.database.tables import EventRow
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.ids import new_id
from shared.signals import Signals
from shared.snapshots import RunCounters, run_counters
from tests.support.world import World

Verb = Callable[[UnitOfWork, Principal, UUID], Awaitable[object]]


async def _cancel(work: UnitOfWork, principal: Principal, run_id: UUID) -> object:
    return await cancel_model_run(work, principal, run_id, "keep")


_DO: dict[RunVerb, Verb] = {
    "cancel": _cancel,
    "pause": pause_model_run,
    "resume": resume_model_run,
    "retry_failed": retry_failed_rows,
    "undo": undo_model_run,
}


async def do(world: World, signals: Signals, verb: RunVerb, run_id: UUID) -> None:
    principal = Principal(world.workspace_id, world.member_id, new_id(), Role.ADMIN)
    async with unit_of_work(world.sessions, signals, "member:test") as work:
        await _DO[verb](work, principal, run_id)


async def events(world: World, run_id: UUID) -> list[dict[str, Any]]:
    """Of the run, in order: its types without `model_run.` beside its data."""
    async with world.sessions() as session:
        of_project = select(EventRow.payload).where(EventRow.stream_id == world.project_id).order_by(EventRow.offset)
        told = [Envelope.model_validate_json(payload) for payload in await session.scalars(of_project)]
    of_run = [one for one in told if one.subject.id == run_id]
    return [{"type": one.type.removeprefix("model_run."), **one.data} for one in of_run]


async def counted(world: World, run_id: UUID) -> RunCounters:
    """As everybody sees them, once they are seen to be what is in the tables, also when summed over all segments."""
    async with world.sessions() as session:
        shown = await run_counters(session, await world.run(run_id))
    outcomes = Counter(outcome.state for outcome in await world.outcomes(run_id))
    segments = await world.segments(run_id)
    assert (shown.succeeded, shown.failed) == (outcomes["succeeded"], outcomes["failed"])
    assert shown.succeeded == sum(one.succeeded for one in segments), "progress is summed over all segments"
    assert shown.failed == sum(one.failed for one in segments)
    assert shown.detections == len(await world.detections(run_id))
    return shown
