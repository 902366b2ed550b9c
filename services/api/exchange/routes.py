"""Labels and pre-labels in the formats of other tools: out and in."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.checked_requests import MAX_BODY_BYTES, content_type_of
from services.api.dependencies import Editor, IfMatch, Reader, Store, Viewer, Work, Works, resources_of
from services.api.etags import etag
from services.api.exchange import service
from services.api.exchange.answer import ExportAnswer, of_snapshot
from services.api.exchange.formats import FORMATS
from services.api.exchange.imports.submit import Submitted
from services.api.exchange.imports.upload import MAX_UPLOAD_BYTES, Upload
from services.api.exchange.ontologies import ONTOLOGY_FORMATS
from services.api.exchange.ontologies.taking import ForeignOntology
from services.api.exchange.schemas import (
    ExportReport,
    ExportWanted,
    ImportLine,
    ImportSubmitted,
    LabelsImportWanted,
    OntologyImported,
    PredictionsImportWanted,
)
from services.api.idempotency import IdempotentRoute
from services.api.problems import problems
from services.api.projects.schemas import OntologyVersion
from services.api.streaming import body_of

router = APIRouter(prefix="/v1", tags=["exchange"], route_class=IdempotentRoute)

_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, of the format's media type",
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in sorted({one.media_type for one in FORMATS.values()})
        },
    }
}

_UPLOAD: dict[str, Any] = {
    MAX_BODY_BYTES: MAX_UPLOAD_BYTES,
    "requestBody": {
        "required": True,
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in sorted({taken for one in FORMATS.values() for taken in one.takes})
        },
    },
}
_ONTOLOGY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            media_type: {"schema": {"type": "string", "format": "binary"}}
            for media_type in sorted({taken for one in ONTOLOGY_FORMATS.values() for taken in one.takes})
        },
    },
}
_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "itemSchema": {"$ref": "#/components/schemas/ImportLine"},
            }
        }
    }
}


@router.get(
    "/projects/{project_id}/export",
    response_class=ExportAnswer,
    responses={**problems(404, 429), **_FILES},
)
async def export_labels(
    principal: Viewer, session: Reader, project_id: UUID, wanted: Annotated[ExportWanted, Query()], request: Request
) -> ExportAnswer:
    """Labels, or the pre-labels of a run, as a file: streamed, out of one snapshot, whatever its size.

    What the format cannot hold is left out; `…/export/report` says what that is. A connection that ends early means
    that the file is not whole.
    """
    await service.check_export(session, principal, project_id, wanted)
    resources, one = resources_of(request), FORMATS[wanted.format]

    async def make(snapshot: AsyncSession) -> AsyncIterator[bytes]:
        return (await service.export(snapshot, principal, project_id, wanted)).pieces

    resources.exports.take()
    name = f"{project_id}-{wanted.what}.{one.suffix}"
    answer = ExportAnswer(
        of_snapshot(resources.sessions, make),
        media_type=one.media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    answer.places = resources.exports
    return answer


@router.get("/projects/{project_id}/export/report", responses=problems(404))
async def report_export(
    principal: Viewer, session: Reader, project_id: UUID, wanted: Annotated[ExportWanted, Query()]
) -> ExportReport:
    """What that export would hold, and what the format would lose, counted exactly: it is made, and kept nowhere."""
    return await (await service.export(session, principal, project_id, wanted)).report(wanted)


@router.post(
    "/projects/{project_id}/predictions/import",
    status_code=202,
    responses=problems(400, 404, 413, 415),
    openapi_extra=_UPLOAD,
)
async def import_predictions(
    principal: Editor,
    works: Works,
    store: Store,
    project_id: UUID,
    wanted: Annotated[PredictionsImportWanted, Query()],
    request: Request,
    response: Response,
) -> ImportSubmitted:
    """Predictions made elsewhere become a run of their own, with the same review and measures as any run.

    The body is stored, then an operation reads it: it survives the end of any process, says how far it is, and at the
    end what was taken and what was not. The same upload again is the same run.
    """
    upload = Upload(store, principal.workspace_id)
    async with works() as work:
        await service.check_import(work.session, principal, project_id, wanted, content_type_of(request))
    await upload.receive(body_of(request))
    async with works() as work:
        submitted = await service.submit_predictions(work, principal, project_id, wanted, upload)
    return await _begun(submitted, upload, response)


@router.post(
    "/projects/{project_id}/labels/import",
    status_code=202,
    responses=problems(400, 404, 413, 415),
    openapi_extra=_UPLOAD,
)
async def import_labels(
    principal: Editor,
    works: Works,
    store: Store,
    project_id: UUID,
    wanted: Annotated[LabelsImportWanted, Query()],
    request: Request,
    response: Response,
) -> ImportSubmitted:
    """Labels made elsewhere, or exported here, come in as labels. What people settled here is never changed.

    A label is known by the id its line gives it: one that is there already is `unchanged`, or a `conflict` when it says
    something else; one that was deleted here stays deleted.
    """
    upload = Upload(store, principal.workspace_id)
    async with works() as work:
        await service.check_import(work.session, principal, project_id, wanted, content_type_of(request))
    await upload.receive(body_of(request))
    async with works() as work:
        submitted = await service.submit_labels(work, principal, project_id, wanted, upload)
    return await _begun(submitted, upload, response)


@router.get(
    "/projects/{project_id}/imports/{operation_id}/lines",
    response_class=StreamingResponse,
    responses={**problems(404), **_LINES},
)
async def get_import_lines(
    principal: Viewer, session: Reader, store: Store, project_id: UUID, operation_id: UUID
) -> StreamingResponse:
    """What became of every line of an import so far, in no order. Kept for a week."""
    report = await service.find_report(session, principal, project_id, operation_id, store)
    return StreamingResponse(report.pieces(), media_type="application/x-ndjson")


@router.post(
    "/projects/{project_id}/ontology/import",
    responses=problems(400, 404, 409, 412, 413, 415, 428),
    openapi_extra=_ONTOLOGY,
)
async def import_ontology(
    principal: Editor,
    work: Work,
    project_id: UUID,
    expected: IfMatch,
    format: Annotated[str, Query(max_length=50, examples=["labelbox"])],
    request: Request,
    response: Response,
) -> OntologyImported:
    """The ontology of another tool becomes the project's next version, in place of the present one.

    What has the same name and kind at the same place keeps its id. `losses` says what ours cannot hold.
    """
    content = await request.body()
    wanted = ForeignOntology(project_id, expected, format, content_type_of(request), content)
    row, losses = await service.import_ontology(work, principal, wanted)
    version = OntologyVersion.from_row(row)
    response.headers["ETag"] = etag(version.version)
    return OntologyImported(**dict(version), losses=losses)


async def _begun(submitted: Submitted, upload: Upload, response: Response) -> ImportSubmitted:
    if not submitted.is_new:
        await upload.discard()
    response.headers["Location"] = f"/v1/operations/{submitted.operation.id}"
    return ImportSubmitted(
        operation_id=submitted.operation.id,
        model_run_id=submitted.model_run_id,
        repeated=not submitted.is_new,
        bytes=upload.size,
        sha256=upload.digest,
    )


__all__ = ["ImportLine", "router"]
