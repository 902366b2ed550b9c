"""Labels and pre-labels in the formats of other tools: out and in."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.dependencies import Reader, Viewer, resources_of
from services.api.exchange import service
from services.api.exchange.answer import ExportAnswer, of_snapshot
from services.api.exchange.formats import FORMATS
from services.api.exchange.schemas import ExportReport, ExportWanted
from services.api.idempotency import IdempotentRoute
from services.api.problems import problems

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
