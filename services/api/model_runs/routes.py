"""Model runs: submit, watch, cancel, pause, try again, undo; their outcomes and pre-labels."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response

from services.api.dependencies import Editor, IfMatch, Paged, Reader, Settings, Viewer, Work
from services.api.etags import etag
from services.api.idempotency import IdempotentRoute
from services.api.model_runs import service
from services.api.model_runs.estimate_schemas import RunEstimate
from services.api.model_runs.outcomes import OutcomeFilter
from services.api.model_runs.pre_labels import PreLabelFilter
from services.api.model_runs.realign import Change
from services.api.model_runs.schemas import (
    AlignmentUpdate,
    DecisionState,
    Ledger,
    ModelRunCancel,
    ModelRunCreate,
    Outcome,
    OutcomeState,
    OutcomeTrace,
    PreLabel,
    RunAlignment,
    UndonePreLabels,
)
from services.api.operations.schemas import Operation
from services.api.paging import by_id
from services.api.problems import problems
from shared.contracts.event import RunState
from shared.contracts.http import Page
from shared.contracts.resources import ModelRun, ModelRunSummary
from shared.database.tables import OperationRow
from shared.snapshots import model_run_of

router = APIRouter(prefix="/v1", tags=["model-runs"], route_class=IdempotentRoute)
_KEEP = ModelRunCancel()

Confidence = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]


@router.post("/projects/{project_id}/model-runs", status_code=202, responses=problems(404, 409))
async def submit_model_run(
    principal: Editor, work: Work, project_id: UUID, wanted: ModelRunCreate, response: Response
) -> ModelRun:
    """Submit a run. It is stored when this answers, and works through the data rows in the background.

    Everything wrong is listed at once by JSON pointer. A model that cannot be run on this project: 409 with `blockers`.
    """
    run = await service.submit_model_run(work, principal, project_id, wanted)
    response.headers["Location"] = f"/v1/model-runs/{run.id}"
    return await model_run_of(work.session, run)


@router.post("/projects/{project_id}/model-runs/estimate", responses=problems(404, 409))
async def estimate_model_run(
    principal: Viewer, session: Reader, project_id: UUID, wanted: ModelRunCreate
) -> RunEstimate:
    """What a run with this body would do now, and about how long, from the measured speed of the model here.

    Changes nothing. Whatever a submit would refuse is refused in the same words.
    """
    return await service.estimate_model_run(session, principal, project_id, wanted)


@router.get("/projects/{project_id}/model-runs", responses=problems(400, 404))
async def list_model_runs(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    project_id: UUID,
    state: Annotated[RunState | None, Query()] = None,
) -> Page[ModelRunSummary]:
    """The project's runs, newest first."""
    return paging.page(await service.list_model_runs(session, principal, project_id, state, paging), by_id)


@router.get("/model-runs/{model_run_id}", responses=problems(404))
async def get_model_run(principal: Viewer, session: Reader, model_run_id: UUID) -> ModelRun:
    """One run: its state, what it was asked to do, and how far it is now."""
    return await service.get_model_run(session, principal, model_run_id)


@router.post("/model-runs/{model_run_id}/cancel", responses=problems(404, 409))
async def cancel_model_run(
    principal: Editor, work: Work, model_run_id: UUID, wanted: Annotated[ModelRunCancel, Body()] = _KEEP
) -> ModelRun:
    """End an open or paused run for good: no result comes after the answer.

    For a run that has ended: 409 with `allowed` and `allowed_verbs`.
    """
    run = await service.cancel_model_run(work, principal, model_run_id, wanted.results)
    return await model_run_of(work.session, run)


@router.post("/model-runs/{model_run_id}/pause", responses=problems(404, 409))
async def pause_model_run(principal: Editor, work: Work, model_run_id: UUID) -> ModelRun:
    """Stop an open run until it is resumed: what is stored stays, and nothing is stored after the answer.

    A run that is paused already stays as it is. For a run that has ended: 409 with `allowed` and `allowed_verbs`.
    """
    return await model_run_of(work.session, await service.pause_model_run(work, principal, model_run_id))


@router.post("/model-runs/{model_run_id}/resume", responses=problems(404, 409))
async def resume_model_run(principal: Editor, work: Work, model_run_id: UUID) -> ModelRun:
    """Let a paused run go on with the data rows that have no outcome yet.

    A run that is open already stays as it is. For a run that has ended: 409 with `allowed` and `allowed_verbs`.
    """
    return await model_run_of(work.session, await service.resume_model_run(work, principal, model_run_id))


@router.post("/model-runs/{model_run_id}/retry-failed", status_code=202, responses=problems(404, 409))
async def retry_failed_rows(principal: Editor, work: Work, model_run_id: UUID, response: Response) -> ModelRun:
    """Try the failed data rows again, as the run's next execution; after a run that failed, also those it left not run.

    Their failed outcomes give way to new ones, whose `attempts` go on counting. What succeeded is not touched. 409 when
    the run has not ended with failures, when its model is gone, or when its alignment no longer fits the ontology.
    """
    response.headers["Location"] = f"/v1/model-runs/{model_run_id}"
    return await model_run_of(work.session, await service.retry_failed_rows(work, principal, model_run_id))


@router.get("/model-runs/{model_run_id}/alignment", responses=problems(404))
async def get_model_run_alignment(
    principal: Viewer, session: Reader, model_run_id: UUID, response: Response
) -> RunAlignment:
    """By which entries the run's detections are shown; the ETag is for changing them."""
    found = await service.get_model_run_alignment(session, principal, model_run_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch(
    "/model-runs/{model_run_id}/alignment",
    responses={202: {"model": Operation, "description": "Too large for a request"}, **problems(404, 409, 412, 428)},
)
async def realign_model_run(
    principal: Editor,
    work: Work,
    settings: Settings,
    model_run_id: UUID,
    expected: IfMatch,
    wanted: AlignmentUpdate,
    response: Response,
) -> RunAlignment | Operation:
    """Show a run that has ended by other thresholds or entries (merge patch), out of what is stored: no inference.

    What people have decided stays as they saw it. A large run is changed by an operation: 202 with its `Location`, and
    until it has succeeded everybody sees the run as before. A run that has not ended: 409 with `allowed`.
    """
    change = Change(model_run_id, expected, wanted)
    found = await service.realign_model_run(work, principal, change, settings.realign_at_once)
    if isinstance(found, OperationRow):
        response.status_code, response.headers["Location"] = 202, f"/v1/operations/{found.id}"
        return Operation.from_row(found)
    response.headers["ETag"] = etag(found.alignment_version)
    return await service.alignment_of(work.session, found)


@router.get("/model-runs/{model_run_id}/outcomes", responses=problems(400, 404))
async def list_outcomes(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    model_run_id: UUID,
    state: Annotated[OutcomeState | None, Query()] = None,
    code: Annotated[str | None, Query(max_length=100, examples=["undecodable_image"])] = None,
) -> Page[Outcome]:
    """What became of each data row of the run, in data row order."""
    found = await service.list_outcomes(session, principal, model_run_id, OutcomeFilter(state, code), paging)
    return paging.page_with(found.items, found.next_key)


@router.get("/model-runs/{model_run_id}/outcomes/{data_row_id}", responses=problems(404))
async def get_outcome(principal: Viewer, session: Reader, model_run_id: UUID, data_row_id: UUID) -> OutcomeTrace:
    """What became of one data row: its batch, segment, model and worker, and how long each stage took."""
    return await service.get_outcome(session, principal, model_run_id, data_row_id)


@router.get("/model-runs/{model_run_id}/pre-labels", responses=problems(400, 404))
async def list_pre_labels(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    model_run_id: UUID,
    data_row_id: Annotated[UUID | None, Query()] = None,
    feature_schema_id: Annotated[UUID | None, Query()] = None,
    model_class: Annotated[str | None, Query(max_length=500)] = None,
    state: Annotated[DecisionState | None, Query()] = None,
    confidence_min: Confidence = None,
    confidence_max: Confidence = None,
) -> Page[PreLabel]:
    """The run's pre-labels, by data row. With a filter that few meet, a page may be short and still have a next one."""
    wanted = PreLabelFilter(
        data_row_id,
        feature_schema_id,
        model_class,
        state,
        0.0 if confidence_min is None else confidence_min,
        1.0 if confidence_max is None else confidence_max,
    )
    found = await service.list_pre_labels(session, principal, model_run_id, wanted, paging)
    return paging.page_with(found.items, found.next_key)


@router.delete("/model-runs/{model_run_id}/pre-labels", responses=problems(404, 409))
async def undo_model_run(principal: Editor, work: Work, model_run_id: UUID) -> UndonePreLabels:
    """Undo a run that has ended: its pre-labels that nobody has decided on are hidden for good.

    No later alignment shows them again, and the run cannot be tried again. Decisions and labels stay. Doing it twice
    changes nothing more. For a run that has not ended: 409 with `allowed` and `allowed_verbs`.
    """
    return await service.undo_model_run(work, principal, model_run_id)


@router.get("/model-runs/{model_run_id}/ledger", responses=problems(404))
async def get_ledger(principal: Viewer, session: Reader, model_run_id: UUID) -> Ledger:
    """Where every detection of the run went, class by class."""
    return await service.get_ledger(session, principal, model_run_id)
