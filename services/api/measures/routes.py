"""How good pre-labels are, from what people decided about them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from services.api.dependencies import Editor, Paged, Reader, Viewer
from services.api.idempotency import IdempotentRoute
from services.api.measures import service
from services.api.measures.calibration import BINS
from services.api.measures.schemas import (
    SAME_FROM,
    CalibrationCurve,
    LabelComparison,
    Metrics,
    RunComparison,
    ThresholdSuggestion,
    WithholdingEffect,
)
from services.api.measures.service import Comparing, Rules, Wanted
from services.api.problems import problems

router = APIRouter(prefix="/v1", tags=["measures"], route_class=IdempotentRoute)


def _rules(
    same_from: Annotated[
        float,
        Query(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="an edit of the same class counts as right when geometries have at least this in common",
        ),
    ] = SAME_FROM,
    include_bulk: Annotated[
        bool, Query(description="count decisions of bulks too, where nobody looked at each pre-label")
    ] = False,
) -> Rules:
    return Rules(same_from, include_bulk)


def _wanted(
    model_class: Annotated[str | None, Query(max_length=500, description="of this class alone")] = None,
    feature_schema_id: Annotated[UUID | None, Query(description="of this feature alone")] = None,
) -> Wanted:
    return Wanted(model_class, feature_schema_id)


Ruled = Annotated[Rules, Depends(_rules)]
Chosen = Annotated[Wanted, Depends(_wanted)]
Bins = Annotated[int, Query(ge=2, le=50, description="bins of equal width from 0 to 1")]
Precision = Annotated[float, Query(ge=0.5, le=0.999, allow_inf_nan=False, description="the precision that is wanted")]
Confidence = Annotated[
    float, Query(ge=0.5, le=0.999, allow_inf_nan=False, description="how sure it must be that it is reached")
]
RunIds = Annotated[str | None, Query(max_length=200, description="two run ids, with a comma between them")]
ModelIds = Annotated[str | None, Query(max_length=200, description="or two model ids: the newest run of each is taken")]


@router.get("/model-runs/{model_run_id}/metrics", responses=problems(404))
async def get_model_run_metrics(principal: Viewer, session: Reader, model_run_id: UUID, rules: Ruled) -> Metrics:
    """Acceptance rate, precision, recall, edits, confusion and seconds a data row of one run, class by class.

    Only what people looked at counts: not what a policy accepted, nor what is undone, nor, unless asked for, bulks.
    """
    return await service.get_metrics(session, await service.run_scope(session, principal, model_run_id, rules))


@router.get("/model-runs/{model_run_id}/calibration", responses=problems(404))
async def get_model_run_calibration(
    principal: Viewer, session: Reader, model_run_id: UUID, rules: Ruled, wanted: Chosen, bins: Bins = BINS
) -> CalibrationCurve:
    """How far the confidence of the run's pre-labels is the share of them that people found right."""
    scope = await service.run_scope(session, principal, model_run_id, rules)
    return await service.get_calibration(session, scope, wanted, bins)


@router.get("/model-runs/{model_run_id}/threshold-suggestion", responses=problems(404))
async def suggest_model_run_threshold(
    principal: Viewer,
    session: Reader,
    model_run_id: UUID,
    rules: Ruled,
    wanted: Chosen,
    target_precision: Precision = 0.95,
    confidence: Confidence = 0.95,
) -> ThresholdSuggestion:
    """The lowest threshold that reaches a precision, with a bound that holds though the threshold was chosen by it."""
    scope = await service.run_scope(session, principal, model_run_id, rules)
    return await service.suggest_threshold(session, scope, wanted, target_precision, confidence)


@router.get("/projects/{project_id}/models/{model_id}/metrics", responses=problems(404))
async def get_model_metrics(
    principal: Viewer, session: Reader, project_id: UUID, model_id: UUID, rules: Ruled
) -> Metrics:
    """The same of all runs of a model version in the project."""
    scope = await service.model_scope(session, principal, project_id, model_id, rules)
    return await service.get_metrics(session, scope)


@router.get("/projects/{project_id}/models/{model_id}/calibration", responses=problems(404))
async def get_model_calibration(
    principal: Viewer,
    session: Reader,
    project_id: UUID,
    model_id: UUID,
    rules: Ruled,
    wanted: Chosen,
    bins: Bins = BINS,
) -> CalibrationCurve:
    """The same of all runs of a model version in the project."""
    scope = await service.model_scope(session, principal, project_id, model_id, rules)
    return await service.get_calibration(session, scope, wanted, bins)


@router.get("/projects/{project_id}/models/{model_id}/threshold-suggestion", responses=problems(404))
async def suggest_model_threshold(
    principal: Viewer,
    session: Reader,
    project_id: UUID,
    model_id: UUID,
    rules: Ruled,
    wanted: Chosen,
    target_precision: Precision = 0.95,
    confidence: Confidence = 0.95,
) -> ThresholdSuggestion:
    """The same of all runs of a model version in the project."""
    scope = await service.model_scope(session, principal, project_id, model_id, rules)
    return await service.suggest_threshold(session, scope, wanted, target_precision, confidence)


@router.get("/projects/{project_id}/model-runs/compare", responses=problems(400, 404))
async def compare_model_runs(
    principal: Viewer,
    session: Reader,
    paging: Paged,
    project_id: UUID,
    rules: Ruled,
    ids: RunIds = None,
    model_ids: ModelIds = None,
) -> RunComparison:
    """Two runs, or two models, side by side on the data rows both have results for, and the rows where they differ."""
    return await service.compare_runs(session, principal, project_id, Comparing(ids, model_ids, rules, paging))


@router.get("/projects/{project_id}/model-runs/compare/labels", responses=problems(404))
async def compare_model_runs_with_labels(
    principal: Viewer, session: Reader, project_id: UUID, ids: RunIds = None, model_ids: ModelIds = None
) -> LabelComparison:
    """Two runs, or two models, against what people settled on: labels added by hand and edits count like any other."""
    return await service.compare_with_labels(session, principal, project_id, ids, model_ids)


@router.get("/model-runs/{model_run_id}/withholding-effect", responses=problems(404))
async def get_withholding_effect(principal: Editor, session: Reader, model_run_id: UUID) -> WithholdingEffect:
    """What pre-labels change: time a data row, and how often people agree with the model, with them and without.

    Of data rows whose review was submitted after the run had its result; nothing of others is told.
    """
    return await service.get_withholding_effect(session, principal, model_run_id)
