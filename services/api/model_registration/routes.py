"""Bring your own model: register it, have it served elsewhere, take it away."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from services.api.checked_requests import MAX_BODY_BYTES
from services.api.dependencies import Editor, Settings, Store, Work, Works
from services.api.idempotency import IdempotentRoute
from services.api.model_catalog.schemas import CatalogModel
from services.api.model_registration import foreign, label_studio, service
from services.api.model_registration.schemas import (
    FORM,
    ForeignModelCreate,
    LabelStudioModelCreate,
    ModelRegistration,
)
from services.api.model_registration.service import Registered
from services.api.model_registration.upload import ModelUpload
from services.api.multipart import read_pieces
from services.api.problems import problems
from services.api.streaming import body_of

router = APIRouter(prefix="/v1", tags=["models"], route_class=IdempotentRoute)

_FORM_BODY: dict[str, Any] = {
    MAX_BODY_BYTES: 2_200_000_000,
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM}}},
}


@router.post("/models", status_code=202, responses=problems(400, 409, 413, 415), openapi_extra=_FORM_BODY)
async def register_model(
    principal: Editor, works: Works, store: Store, settings: Settings, request: Request, response: Response
) -> ModelRegistration:
    """Bring a model of one's own: its card, then its ONNX file. An operation checks, stores, loads and probes it.

    The entry is `registering` until the operation has ended; then it is `ready`, or `failed` with the reason. A repeat
    of the same version with the same card and files is harmless: it answers the entry that is there.
    """
    pieces = read_pieces(body_of(request), request.headers.get("content-type", ""))
    return _answer(await ModelUpload(works, principal, store, settings).run(pieces), response)


@router.post("/models/external", status_code=202, responses=problems(400, 409))
async def register_external_model(
    principal: Editor, work: Work, settings: Settings, wanted: ForeignModelCreate, response: Response
) -> ModelRegistration:
    """Register a model that runs on a server of others (Open Inference Protocol, gRPC).

    Nobody can see its weights, so it is pinned to what the server reports: the model's metadata and its answer to a
    fixed probe. A run stops with a reason when either changes.
    """
    return _answer(await foreign.register(work, principal, wanted, settings), response)


@router.post("/models/label-studio", status_code=202, responses=problems(400, 409))
async def register_label_studio_model(
    principal: Editor, work: Work, settings: Settings, wanted: LabelStudioModelCreate, response: Response
) -> ModelRegistration:
    """Register an ML backend of Label Studio (`/health`, `/setup`, `/predict`) as a model.

    Its classes are the labels or choices of one control of the labeling configuration. It is pinned to the model class
    and version that it reports; a run stops with a reason when they change.
    """
    return _answer(await label_studio.register(work, principal, wanted, settings), response)


@router.delete("/models/{model_id}", status_code=204, responses=problems(404, 409))
async def delete_model(principal: Editor, work: Work, model_id: UUID) -> None:
    """Delete a model of one's own: no longer offered at once, its files soon. Runs and labels keep their provenance.

    409 while it is being registered, and while a run or preview on it has not ended.
    """
    await service.delete_model(work, principal, model_id)


def _answer(registered: Registered, response: Response) -> ModelRegistration:
    response.headers["Location"] = f"/v1/operations/{registered.operation_id}"
    return ModelRegistration(model=CatalogModel.from_row(registered.model), operation_id=registered.operation_id)
