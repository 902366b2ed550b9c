"""Projects: make, change, and what happened in them."""

from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.etags import check_revision
from services.api.projects import queries
from services.api.projects.deletion import delete_project
from services.api.projects.ontology import NewOntology, save_ontology
from services.api.projects.readiness import check_readiness
from services.api.projects.schemas import (
    EventsWanted,
    LoggedProjectEvent,
    ProjectCreate,
    ProjectEvents,
    ProjectUpdate,
    Readiness,
)
from shared.contracts.events import ProjectCreated, ProjectUpdated
from shared.database.event_log import create_stream, read_events, read_head
from shared.database.tables import OntologyRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import NotFound
from shared.ids import new_id
from shared.ontology import Ontology

__all__ = [
    "create_project",
    "delete_project",
    "get_ontology",
    "get_readiness",
    "list_project_events",
    "replace_ontology",
    "update_project",
]


async def create_project(work: UnitOfWork, principal: Principal, wanted: ProjectCreate) -> ProjectRow:
    row = ProjectRow(
        id=new_id(),
        workspace_id=principal.workspace_id,
        name=wanted.name,
        description=wanted.description,
        media_type=wanted.media_type,
        ontology_version=0,
        revision=1,
    )
    work.session.add(row)
    await work.session.flush()
    create_stream(work.session, row.id, row.workspace_id, "project")
    work.emit(ProjectCreated(workspace_id=row.workspace_id, project_id=row.id, name=row.name))
    if wanted.ontology is not None:
        await save_ontology(work, principal, row, NewOntology(wanted.ontology, "/ontology"))
    await work.session.flush()
    await work.session.refresh(row)
    return row


async def update_project(
    work: UnitOfWork, principal: Principal, project_id: UUID, expected: int, changes: ProjectUpdate
) -> ProjectRow:
    row = await queries.lock_project(work.session, principal.workspace_id, project_id)
    check_revision(expected, row.revision)
    given = changes.model_dump(exclude_unset=True)
    if any(getattr(row, name) != value for name, value in given.items()):
        for name, value in given.items():
            setattr(row, name, value)
        await queries.touch(work.session, row)
        work.emit(ProjectUpdated(workspace_id=row.workspace_id, project_id=row.id, revision=row.revision))
    return row


async def replace_ontology(
    work: UnitOfWork, principal: Principal, project_id: UUID, expected: int, tree: Ontology
) -> OntologyRow | None:
    row = await queries.lock_project(work.session, principal.workspace_id, project_id)
    check_revision(expected, row.ontology_version)
    saved = await save_ontology(work, principal, row, NewOntology(tree))
    if row.ontology_version != expected:
        await queries.touch(work.session, row)
    return saved


async def get_ontology(
    session: AsyncSession, principal: Principal, project_id: UUID, version: int | None
) -> OntologyRow | None:
    """None when there is no ontology yet, which is version 0."""
    project = await queries.get_project(session, principal.workspace_id, project_id)
    found = await queries.find_ontology(session, project, version)
    if found is None and version not in {None, 0}:
        raise NotFound("the ontology has no such version")
    return found


async def get_readiness(session: AsyncSession, principal: Principal, project_id: UUID) -> Readiness:
    return await check_readiness(session, await queries.get_project(session, principal.workspace_id, project_id))


async def list_project_events(
    session: AsyncSession, principal: Principal, project_id: UUID, wanted: EventsWanted
) -> ProjectEvents:
    """`session` reads all in one snapshot: neither what is added nor what is trimmed meanwhile makes a hole."""
    project = await queries.get_project(session, principal.workspace_id, project_id)
    head = await read_head(session, project.id)
    if head is None:
        raise LookupError(f"project {project.id} has no stream")
    found = await read_events(session, project.id, wanted.after, wanted.limit)
    return ProjectEvents(
        epoch=head.epoch,
        first_offset=head.first_offset,
        head=head.last_offset,
        recovered=head.reaches(wanted.epoch, wanted.after),
        items=[LoggedProjectEvent(offset=event.offset, event=orjson.loads(event.payload)) for event in found],
    )
