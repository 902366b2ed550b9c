"""Data rows, their content, and batches of them."""

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from services.api.checked_requests import MAX_BODY_BYTES, content_type_of
from services.api.data_rows import queries, service
from services.api.data_rows.candidates import Intake, of_item, of_suspicious_item
from services.api.data_rows.content import ContentElsewhere, read_content
from services.api.data_rows.queries import DataRowFilter
from services.api.data_rows.schemas import (
    DATA_ROWS_CREATE_SCHEMA,
    Batch,
    BatchCreate,
    DataRow,
    DataRowCreate,
    DataRowsCreate,
    DataRowsImport,
    LineResult,
)
from services.api.data_rows.stream import StreamImport
from services.api.data_rows.uploads import Upload
from services.api.dependencies import Editor, EgressClient, Paged, Reader, Settings, Store, Viewer, Work, Works
from services.api.idempotency import IdempotentRoute
from services.api.multipart import read_parts
from services.api.paging import by_id
from services.api.pointers import field_errors
from services.api.problems import problems
from services.api.projects.queries import get_project
from services.api.streaming import DuplexAnswer, Write, body_of
from services.api.values import check_encoding, is_suspicious, not_json
from shared.contracts.http import Page
from shared.errors import Unprocessable, UnsupportedMedia

router = APIRouter(prefix="/v1", tags=["data-rows"], route_class=IdempotentRoute)

_NDJSON = "application/x-ndjson"
_STREAMED = frozenset({_NDJSON, "application/jsonl"})
_MAX_STREAM_BYTES = 4 * 1024**3
_LINES = {"schema": {"type": "string"}, "itemSchema": DataRowCreate.model_json_schema()}
_IMPORT_BODY: dict[str, Any] = {
    MAX_BODY_BYTES: _MAX_STREAM_BYTES,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": DATA_ROWS_CREATE_SCHEMA},
            _NDJSON: _LINES,
            "application/jsonl": _LINES,
        },
    },
}
_UPLOAD_BODY: dict[str, Any] = {
    MAX_BODY_BYTES: _MAX_STREAM_BYTES,
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "global_key": {"type": "string", "description": "names the file after it"},
                    },
                }
            }
        },
    },
}
_STREAM_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {_NDJSON: {"schema": {"type": "string"}, "itemSchema": {"$ref": "#/components/schemas/LineResult"}}}
    }
}
_UNTRUSTED = {
    # Bytes somebody uploaded, from our own origin: never to be run, framed or guessed at.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=3600",
}


@router.post(
    "/projects/{project_id}/data-rows",
    response_model=DataRowsImport,
    responses={**problems(400, 404, 409, 413, 415), **_STREAM_ANSWER},
    openapi_extra=_IMPORT_BODY,
)
async def import_data_rows(
    principal: Editor, work: Work, works: Works, egress: EgressClient, store: Store, project_id: UUID, request: Request
) -> Any:
    """Import data rows: up to 1,000 as JSON, or any number as a stream of lines.

    A stream is answered with one line for each of its lines, in order; what was answered is stored. A wrong item fails
    alone. The same `global_key` with the same content is `unchanged`, so a repeat is harmless.
    """
    project = await get_project(work.session, principal.workspace_id, project_id)
    intake, kind = Intake(project, egress, store), content_type_of(request)
    if kind in _STREAMED:

        async def produce(write: Write) -> None:
            await StreamImport(works, intake, write).run(body_of(request))

        return DuplexAnswer(produce, _NDJSON)
    if kind != "application/json":
        raise UnsupportedMedia("this takes application/json, application/x-ndjson or application/jsonl")
    body = await request.body()
    read = of_suspicious_item if is_suspicious(body) else of_item
    lines = [read(intake, number, item) for number, item in enumerate(_items(body), 1)]
    return DataRowsImport.of(await service.import_data_rows(work, intake, lines))


@router.post(
    "/projects/{project_id}/data-rows/upload",
    responses=problems(400, 404, 413, 415),
    openapi_extra=_UPLOAD_BODY,
)
async def upload_data_rows(
    principal: Editor,
    works: Works,
    store: Store,
    egress: EgressClient,
    settings: Settings,
    project_id: UUID,
    request: Request,
) -> DataRowsImport:
    """Upload files as data rows: images, or UTF-8 texts in a text project. One result a file, `line` is its place.

    A field `global_key` names the file after it; without one the file's own name does. A file without
    an image's header is refused; one that has it but does not decode is taken, and fails in the model run.
    """
    # Looked up for itself: a slow upload must not hold a connection.
    async with works() as work:
        project = await get_project(work.session, principal.workspace_id, project_id)
    parts = read_parts(body_of(request), request.headers.get("content-type", ""), settings.max_upload_file_bytes)
    return DataRowsImport.of(await Upload(works, Intake(project, egress, store)).run(parts))


@router.get("/projects/{project_id}/data-rows", responses=problems(400, 404))
async def list_data_rows(
    principal: Viewer,
    session: Reader,
    project_id: UUID,
    paging: Paged,
    global_key: Annotated[str | None, Query(max_length=500)] = None,
    batch_id: UUID | None = None,
) -> Page[DataRow]:
    """The data rows of a project, in the order they were imported."""
    project = await get_project(session, principal.workspace_id, project_id)
    wanted = DataRowFilter(project.id, global_key, batch_id)
    rows = await queries.list_data_rows(session, wanted, paging.after_id, paging.fetch)
    return paging.page([DataRow.from_rows(*row) for row in rows], by_id)


@router.get("/data-rows/{data_row_id}", responses=problems(404))
async def get_data_row(principal: Viewer, session: Reader, data_row_id: UUID) -> DataRow:
    """One data row."""
    return DataRow.from_rows(*await service.get_data_row(session, principal, data_row_id))


@router.get(
    "/data-rows/{data_row_id}/content",
    response_class=Response,
    responses={
        **problems(404),
        200: {"description": "The bytes themselves", "content": {"image/*": {}, "text/plain": {}}},
        307: {"description": "The content is at another host"},
    },
)
async def get_data_row_content(principal: Viewer, session: Reader, store: Store, data_row_id: UUID) -> Response:
    """The content of a data row: its bytes, or a redirect to where they are."""
    _, row = await service.get_data_row(session, principal, data_row_id)
    session.expunge(row)
    # A slow store must not keep a connection to the database.
    await session.close()
    content = await read_content(store, row)
    if isinstance(content, ContentElsewhere):
        return RedirectResponse(content.uri, 307)
    tag = {"ETag": f'"{content.sha256.hex()}"'} if content.sha256 else {}
    return Response(content.body, media_type=content.media_type, headers={**_UNTRUSTED, **tag})


@router.post("/projects/{project_id}/batches", status_code=201, responses=problems(404, 409))
async def create_batch(
    principal: Editor, work: Work, project_id: UUID, wanted: BatchCreate, response: Response
) -> Batch:
    """A named set of data rows: those named, or all the project has now."""
    row = await service.create_batch(work, principal, project_id, wanted)
    response.headers["Location"] = f"/v1/batches/{row.id}"
    return Batch.from_row(row)


@router.get("/projects/{project_id}/batches", responses=problems(400, 404))
async def list_batches(principal: Viewer, session: Reader, project_id: UUID, paging: Paged) -> Page[Batch]:
    """The batches of a project, oldest first."""
    project = await get_project(session, principal.workspace_id, project_id)
    rows = await queries.list_batches(session, project.id, paging.after_id, paging.fetch)
    return paging.page([Batch.from_row(row) for row in rows], by_id)


@router.get("/batches/{batch_id}", responses=problems(404))
async def get_batch(principal: Viewer, session: Reader, batch_id: UUID) -> Batch:
    """One batch."""
    return Batch.from_row(await service.get_batch(session, principal, batch_id))


def _items(body: bytes) -> list[Any]:
    check_encoding(body)
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise not_json(error) from error
    try:
        return DataRowsCreate.model_validate(parsed).items
    except ValidationError as error:
        raise Unprocessable(errors=field_errors(error.errors(), parsed)) from error


__all__ = ["LineResult", "router"]
