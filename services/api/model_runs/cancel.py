"""Cancelling a run is final: no result after the event."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_runs import queries
from services.api.model_runs.holding import hold_run
from services.api.model_runs.schemas import Results
from services.api.model_runs.transitions import check_verb
from shared.database.run_events import state_event
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork


async def cancel_model_run(work: UnitOfWork, principal: Principal, model_run_id: UUID, results: Results) -> ModelRunRow:
    """Raises Conflict with what is allowed for a run that has ended."""
    run = await queries.get_run(work.session, principal.workspace_id, model_run_id)
    await cancel_run(work, run, results)
    return run


async def cancel_run(work: UnitOfWork, run: ModelRunRow, results: Results) -> None:
    """A run or a preview. Raises Conflict with what is allowed when it has ended."""
    await hold_run(work, run)
    check_verb(run, "cancel")
    run.results_discarded = results == "discard"
    await cancel_held_run(work, run)


async def cancel_held_run(work: UnitOfWork, run: ModelRunRow, reason: str | None = None) -> None:
    """For a run that is held, and in a state that may be cancelled."""
    await queries.close_segments(work.session, run)
    await queries.count_anew(work.session, run)
    run.state, run.state_reason = "cancelled", reason
    run.finished_at = await queries.database_time(work.session)
    await work.session.flush()
    work.emit(state_event(run))
