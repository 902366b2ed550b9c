"""Trying the failed rows of a run again: the next execution, over these rows alone.

After a run that failed, the rows it never came to are in it too. What succeeded is not touched.
"""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_catalog.queries import hold_model
from services.api.model_runs import queries
from services.api.model_runs.basis import find_ground
from services.api.model_runs.checks import Aligning, check_alignment
from services.api.model_runs.holding import MOST_RINGS, hold_run
from services.api.model_runs.realigning import as_sent
from services.api.model_runs.retrying import cut_failed_rows
from services.api.model_runs.submit import segment_size
from services.api.model_runs.transitions import check_has_model, check_verb
from services.api.projects.queries import hold_project
from shared.contracts.jobs import Doorbell
from shared.database.alignments import read_alignment
from shared.database.run_events import state_event
from shared.database.tables import CatalogModelRow, ModelRunRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, Problems
from shared.run_configuration import RunConfiguration
from shared.tracing import traceparent


async def retry_failed_rows(work: UnitOfWork, principal: Principal, model_run_id: UUID) -> ModelRunRow:
    """Raises Conflict with what is allowed, or with what has changed since the run began."""
    run = await queries.get_run(work.session, principal.workspace_id, model_run_id)
    check_has_model(run)
    # The project before the run, as everywhere: the ontology stays what the alignment is checked with.
    project = await hold_project(work.session, principal.workspace_id, run.project_id)
    await hold_run(work, run)
    check_verb(run, "retry_failed")
    await _check_shown(work, run)
    model = await _hold_model(work, run)
    await _check_alignment(work, project, run)
    segments = await cut_failed_rows(work.session, run, segment_size(model.rows_per_second))
    if not segments:
        raise Conflict("every data row of the run has succeeded", code="nothing_to_retry")
    await _queue(work, run)
    work.ring(Doorbell.RUNS, min(len(segments), MOST_RINGS))
    return run


async def _check_shown(work: UnitOfWork, run: ModelRunRow) -> None:
    if run.hides_pending:
        raise Conflict("the run was undone, and what it finds would not be shown; submit a new one", code="run_undone")
    under_way = await queries.find_realignment(work.session, run)
    if under_way is not None:
        raise Conflict(
            "a change of this run's alignment is under way; wait for it, or cancel it",
            code="realignment_under_way",
            extra={"operation_id": str(under_way)},
        )


async def _hold_model(work: UnitOfWork, run: ModelRunRow) -> CatalogModelRow:
    """That a server has this very version, the worker looks itself before each segment."""
    assert run.catalog_model_id is not None, "a run with a configuration has a model"
    model = await hold_model(work.session, run.workspace_id, run.catalog_model_id)
    if model is None:
        detail = "the model was deleted, and all results of a run come from one model; submit a new run with another"
        raise Conflict(detail, code="model_deleted")
    return model


async def _check_alignment(work: UnitOfWork, project: ProjectRow, run: ModelRunRow) -> None:
    """The ontology may have changed since the run ended."""
    configuration, found = RunConfiguration.model_validate(run.configuration), Problems()
    entries = [as_sent(entry) for entry in (await read_alignment(work.session, run)).entries]
    if entries:
        ground = await find_ground(work.session, project, configuration.card)
        check_alignment(Aligning(entries, None, configuration.criteria), ground, found)
    if found.errors:
        raise Conflict(
            "the run's alignment no longer fits the ontology; change it and try again",
            code="alignment_outdated",
            extra={
                "alignment_errors": [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in found.errors]
            },
        )


async def _queue(work: UnitOfWork, run: ModelRunRow) -> None:
    await queries.count_anew(work.session, run)
    run.execution, run.traceparent = run.execution + 1, traceparent()
    run.state, run.state_reason, run.waiting_for, run.finished_at = "queued", None, None, None
    run.served_at = await queries.database_time(work.session)
    await work.session.flush()
    work.emit(state_event(run))
