"""Pausing and resuming a run. What is stored stays, and a resumed run goes on with the rows that have no outcome."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_runs import queries
from services.api.model_runs.holding import MOST_RINGS, emit_exact, hold_run
from services.api.model_runs.transitions import check_has_model, check_verb
from shared.contracts.jobs import Doorbell
from shared.contracts.run_verbs import OPEN
from shared.database.run_events import resumed_event, state_event
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork


async def pause_model_run(work: UnitOfWork, principal: Principal, model_run_id: UUID) -> ModelRunRow:
    """A paused run stays as it is. Raises Conflict with what is allowed for one that has ended."""
    run = await _hold(work, principal, model_run_id)
    if run.state == "paused":
        return run
    check_verb(run, "pause")
    await queries.free_segments(work.session, run)
    run.state, run.state_reason, run.waiting_for = "paused", None, None
    await work.session.flush()
    await emit_exact(work, run, state_event(run))
    return run


async def resume_model_run(work: UnitOfWork, principal: Principal, model_run_id: UUID) -> ModelRunRow:
    """An open run stays as it is. Raises Conflict with what is allowed for one that has ended."""
    run = await _hold(work, principal, model_run_id)
    if run.state in OPEN:
        return run
    check_verb(run, "resume")
    run.state, run.waiting_for = "queued", None
    run.served_at = await queries.database_time(work.session)
    await work.session.flush()
    await emit_exact(work, run, resumed_event(run))
    work.ring(Doorbell.RUNS, MOST_RINGS)
    return run


async def _hold(work: UnitOfWork, principal: Principal, model_run_id: UUID) -> ModelRunRow:
    run = await queries.get_run(work.session, principal.workspace_id, model_run_id)
    check_has_model(run)
    await hold_run(work, run)
    return run
