"""Projects, their ontologies, readiness and event log."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from services.api.dependencies import Editor, IfMatch, Paged, Reader, Viewer, Work
from services.api.etags import etag
from services.api.idempotency import IdempotentRoute
from services.api.paging import by_id
from services.api.problems import problems
from services.api.projects import queries, service
from services.api.projects.schemas import (
    EventsWanted,
    OntologyVersion,
    ProjectCreate,
    ProjectEvents,
    ProjectUpdate,
    Readiness,
)
from shared.contracts.http import Page
from shared.contracts.resources import Project
from shared.database.tables import ProjectRow
from shared.ontology import Ontology

router = APIRouter(prefix="/v1", tags=["projects"], route_class=IdempotentRoute)
_MAX_OFFSET = 2**63 - 1
_MAX_VERSION = 2**31 - 1


@router.post("/projects", status_code=201, responses=problems(409))
async def create_project(principal: Editor, work: Work, wanted: ProjectCreate, response: Response) -> Project:
    """Make a project, with its ontology if you have it already."""
    row = await service.create_project(work, principal, wanted)
    response.headers["Location"] = f"/v1/projects/{row.id}"
    return _shown(row, response)


@router.get("/projects", responses=problems(400))
async def list_projects(principal: Viewer, session: Reader, paging: Paged) -> Page[Project]:
    """All projects of the workspace, oldest first."""
    rows = await queries.list_projects(session, principal.workspace_id, paging.after_id, paging.fetch)
    return paging.page([_project(row) for row in rows], by_id)


@router.get("/projects/{project_id}", responses=problems(404))
async def get_project(principal: Viewer, session: Reader, project_id: UUID, response: Response) -> Project:
    """One project; its ETag is for changing it."""
    return _shown(await queries.get_project(session, principal.workspace_id, project_id), response)


@router.patch("/projects/{project_id}", responses=problems(404, 412, 428))
async def update_project(
    principal: Editor, work: Work, project_id: UUID, expected: IfMatch, changes: ProjectUpdate, response: Response
) -> Project:
    """Change name or description (merge patch)."""
    return _shown(await service.update_project(work, principal, project_id, expected, changes), response)


@router.delete("/projects/{project_id}", status_code=204, responses=problems(404))
async def delete_project(principal: Editor, work: Work, project_id: UUID) -> None:
    """Hide the project at once and for good. Its open model runs and operations are cancelled."""
    await service.delete_project(work, principal, project_id)


@router.put("/projects/{project_id}/ontology", responses=problems(404, 409, 412, 428))
async def replace_ontology(
    principal: Editor, work: Work, project_id: UUID, expected: IfMatch, tree: Ontology, response: Response
) -> OntologyVersion:
    """A new version of the ontology. Nodes keep their ids, new ones come without. `If-Match: "0"` makes the first.

    What labels or active model runs use cannot be removed: 409 with the list in `in_use`.
    """
    saved = await service.replace_ontology(work, principal, project_id, expected, tree)
    return _ontology(OntologyVersion.from_row(saved), response)


@router.get("/projects/{project_id}/ontology", responses=problems(404))
async def get_ontology(
    principal: Viewer,
    session: Reader,
    project_id: UUID,
    response: Response,
    version: Annotated[int | None, Query(ge=0, le=_MAX_VERSION, description="an earlier version")] = None,
) -> OntologyVersion:
    """The ontology, version 0 and empty while there is none. Its ETag is for replacing it."""
    found = await service.get_ontology(session, principal, project_id, version)
    return _ontology(OntologyVersion.from_row(found), response)


@router.get("/projects/{project_id}/readiness", responses=problems(404))
async def get_project_readiness(principal: Viewer, session: Reader, project_id: UUID) -> Readiness:
    """Whether model-assisted labeling is possible, and exactly which step is missing if not."""
    return await service.get_readiness(session, principal, project_id)


@router.get("/projects/{project_id}/events", responses=problems(404))
async def list_project_events(
    principal: Viewer,
    session: Reader,
    project_id: UUID,
    after: Annotated[int, Query(ge=0, le=_MAX_OFFSET, description="offset of the last event you have")] = 0,
    epoch: Annotated[str | None, Query(max_length=64, description="the `epoch` it belongs to")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ProjectEvents:
    """The project's event log, for those who cannot hold a websocket. `recovered` says whether it is all of it."""
    wanted = EventsWanted(after, epoch, limit)
    return await service.list_project_events(session, principal, project_id, wanted)


def _project(row: ProjectRow) -> Project:
    return Project.model_validate({name: getattr(row, name) for name in Project.model_fields})


def _shown(row: ProjectRow, response: Response) -> Project:
    response.headers["ETag"] = etag(row.revision)
    return _project(row)


def _ontology(found: OntologyVersion, response: Response) -> OntologyVersion:
    response.headers["ETag"] = etag(found.version)
    return found
