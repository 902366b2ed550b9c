"""Undoing a run: what nobody has decided on is hidden for good. Decisions and labels stay, and so does what is stored.

It is a mark on the run, so it takes as long for ten million detections as for ten, and no later alignment shows
again what was undone.
"""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_runs import queries
from services.api.model_runs.ledger import hidden_in, read_ledger
from services.api.model_runs.schemas import UndonePreLabels
from services.api.model_runs.transitions import check_verb
from shared.contracts.events import ModelRunUndone
from shared.database.unit_of_work import UnitOfWork


async def undo_model_run(work: UnitOfWork, principal: Principal, model_run_id: UUID) -> UndonePreLabels:
    """A second time it changes nothing. Raises Conflict with what is allowed for a run that has not ended."""
    run = await queries.get_run(work.session, principal.workspace_id, model_run_id)
    await queries.lock_run(work.session, run)
    check_verb(run, "undo")
    new = not run.hides_pending
    if new:
        run.undone_at = await queries.database_time(work.session)
        await work.session.flush()
    # Exact, since nobody decides about a held run.
    ledger = await read_ledger(work.session, run)
    hidden, kept = hidden_in(ledger), sum(one.shown for one in ledger.classes)
    if new:
        work.emit(
            ModelRunUndone(workspace_id=run.workspace_id, project_id=run.project_id, model_run_id=run.id, hidden=hidden)
        )
    return UndonePreLabels(model_run_id=run.id, undone_at=run.undone_at, hidden=hidden, kept=kept)
