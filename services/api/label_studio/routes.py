"""Prelabel as a machine learning backend of Label Studio: give it `…/v1/projects/{id}/label-studio` as the URL."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from services.api.admission import give_up_turn
from services.api.checked_requests import CheckedRoute
from services.api.dependencies import EgressClient, LabelStudio, Reader, Settings, Store, Work, Works
from services.api.exchange.formats.label_studio_config import configuration
from services.api.label_studio import service
from services.api.label_studio.predict import Predict
from services.api.label_studio.schemas import (
    LabelStudioHealth,
    LabelStudioPredict,
    LabelStudioPredictions,
    LabelStudioReady,
    LabelStudioSetup,
)
from services.api.problems import problems
from services.api.projects.queries import get_project
from shared.preprocessing import MediaType

router = APIRouter(prefix="/v1/projects/{project_id}/label-studio", tags=["label-studio"], route_class=CheckedRoute)


@router.get("/health", responses=problems(404))
async def get_label_studio_health(principal: LabelStudio, session: Reader, project_id: UUID) -> LabelStudioHealth:
    """Whether this project can be asked, with this key: as the password of basic authentication, any user name."""
    await get_project(session, principal.workspace_id, project_id)
    return LabelStudioHealth()


@router.get("/config", responses=problems(404), response_class=Response)
async def get_label_studio_config(principal: LabelStudio, session: Reader, project_id: UUID) -> Response:
    """The project's ontology as a labeling configuration, which tasks exported from here and predictions fit."""
    project = await get_project(session, principal.workspace_id, project_id)
    vocabulary = await service.vocabulary_of(session, project)
    media_type: MediaType = "text" if project.media_type == "text" else "image"
    return Response(configuration(vocabulary, media_type), media_type="application/xml")


@router.post("/setup", responses=problems(404, 409))
async def set_up_label_studio(
    principal: LabelStudio, work: Work, project_id: UUID, wanted: LabelStudioSetup
) -> LabelStudioReady:
    """Which model predicts for a project of Label Studio, and from which confidence on.

    `extra_params` chooses: `{"model": "<slug or id>", "threshold": 0.4}`; without it the model that fits the ontology
    best. Labels of the configuration are found by name in the project's ontology. Label Studio's access token is not
    kept.
    """
    return await service.set_up(work, principal, project_id, wanted)


@router.post("/predict", responses=problems(404, 409, 503))
async def predict_for_label_studio(
    principal: LabelStudio,
    works: Works,
    egress: EgressClient,
    store: Store,
    settings: Settings,
    project_id: UUID,
    wanted: LabelStudioPredict,
    request: Request,
) -> LabelStudioPredictions:
    """Predictions for tasks, in their order. A task that fails has none, and `failures` says why.

    Tasks become data rows of the project; those with a `global_key` in their data are the rows of that key. What the
    model said before of the same content is not asked again.
    """
    give_up_turn(request)  # it waits for the model
    return await Predict(works, egress, store, principal, project_id, settings.previews_kept).run(wanted)
