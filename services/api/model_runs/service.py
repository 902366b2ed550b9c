"""Model runs: submit, watch, cancel, and what came out."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.model_runs import ledger, outcomes, pre_labels, queries
from services.api.model_runs.cancel import cancel_model_run
from services.api.model_runs.estimate import estimate_model_run
from services.api.model_runs.outcomes import OutcomeFilter, OutcomePage
from services.api.model_runs.pause import pause_model_run, resume_model_run
from services.api.model_runs.pre_labels import PreLabelFilter, PreLabelPage
from services.api.model_runs.realign import realign_model_run
from services.api.model_runs.retry import retry_failed_rows
from services.api.model_runs.schemas import Ledger, OutcomeTrace, RunAlignment
from services.api.model_runs.submit import submit_model_run
from services.api.model_runs.trace import find_trace
from services.api.model_runs.undo import undo_model_run
from services.api.paging import Paging
from services.api.projects.queries import get_project
from shared.contracts.resources import ModelRun, ModelRunSummary
from shared.database.tables import ModelRunRow
from shared.errors import NotFound
from shared.snapshots import model_run_snapshot, named_alignment

__all__ = [
    "cancel_model_run",
    "estimate_model_run",
    "get_ledger",
    "get_model_run",
    "get_model_run_alignment",
    "get_outcome",
    "list_model_runs",
    "list_outcomes",
    "list_pre_labels",
    "pause_model_run",
    "realign_model_run",
    "resume_model_run",
    "retry_failed_rows",
    "submit_model_run",
    "undo_model_run",
]


async def get_model_run(session: AsyncSession, principal: Principal, model_run_id: UUID) -> ModelRun:
    found = await model_run_snapshot(session, principal.workspace_id, model_run_id)
    if found is None:
        raise NotFound()
    return found


async def list_model_runs(
    session: AsyncSession, principal: Principal, project_id: UUID, state: str | None, paging: Paging
) -> list[ModelRunSummary]:
    project = await get_project(session, principal.workspace_id, project_id)
    return await queries.list_runs(session, project, state, paging.after_id, paging.fetch)


async def get_model_run_alignment(session: AsyncSession, principal: Principal, model_run_id: UUID) -> RunAlignment:
    return await alignment_of(session, await queries.get_run(session, principal.workspace_id, model_run_id))


async def alignment_of(session: AsyncSession, run: ModelRunRow) -> RunAlignment:
    row = await queries.get_alignment_row(session, run)
    return RunAlignment(
        model_run_id=run.id,
        version=row.version,
        entries=await named_alignment(session, run),
        created_by=row.created_by,
        created_at=row.created_at,
    )


async def list_outcomes(
    session: AsyncSession, principal: Principal, model_run_id: UUID, wanted: OutcomeFilter, paging: Paging
) -> OutcomePage:
    run = await queries.get_run(session, principal.workspace_id, model_run_id)
    return await outcomes.list_outcomes(session, run, wanted, paging.after, paging.size)


async def get_outcome(
    session: AsyncSession, principal: Principal, model_run_id: UUID, data_row_id: UUID
) -> OutcomeTrace:
    run = await queries.get_run(session, principal.workspace_id, model_run_id)
    found = await find_trace(session, run, data_row_id)
    if found is None:
        raise NotFound("this data row is not one of the run's")
    return found


async def list_pre_labels(
    session: AsyncSession, principal: Principal, model_run_id: UUID, wanted: PreLabelFilter, paging: Paging
) -> PreLabelPage:
    run = await queries.get_run(session, principal.workspace_id, model_run_id)
    return await pre_labels.list_pre_labels(session, run, wanted, paging.after, paging.size)


async def get_ledger(session: AsyncSession, principal: Principal, model_run_id: UUID) -> Ledger:
    return await ledger.read_ledger(session, await queries.get_run(session, principal.workspace_id, model_run_id))
