"""From an upload that has arrived to the operation that imports it. A repeat gets the first one's."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.exchange.formats import FORMATS, ExchangeFormat
from services.api.exchange.imports.order import ImportOrder
from services.api.exchange.imports.upload import Upload
from services.api.exchange.options import chosen_options
from services.api.exchange.schemas import LabelsImportWanted, PredictionsImportWanted
from services.api.projects.queries import get_project, hold_project
from shared.database.imported_runs import KIND as PREDICTIONS
from shared.database.operations import NewOperation, add_operation
from shared.database.run_events import state_event
from shared.database.tables import ModelRunRow, OperationRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Problems, UnsupportedMedia
from shared.ids import new_id

LABELS = "import_labels"


@dataclass(frozen=True, slots=True)
class Submitted:
    """`is_new` is false when the same upload was there already."""

    operation: OperationRow
    model_run_id: UUID | None
    is_new: bool


async def check_import(
    session: AsyncSession,
    principal: Principal,
    project_id: UUID,
    wanted: PredictionsImportWanted | LabelsImportWanted,
    content_type: str,
) -> ProjectRow:
    """Before a byte is stored. Raises NotFound, UnsupportedMedia, or Unprocessable with all that is wrong."""
    project = await get_project(session, principal.workspace_id, project_id)
    problems = Problems()
    one = _format(project, wanted.format, problems)
    if one is not None:
        chosen_options(one.import_options, wanted.model_extra or {}, problems)
    problems.raise_if_any("the import cannot be made like this", code="invalid_import")
    if one is not None and content_type not in one.takes:
        raise UnsupportedMedia(f"{one.title} is taken as {', '.join(one.takes)}")
    return project


async def submit_predictions(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: PredictionsImportWanted, upload: Upload
) -> Submitted:
    """A run with purpose `import`, queued, and the operation that fills it."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    order = _order(wanted, upload, confidence=wanted.confidence)
    source = {"name": wanted.source, "version": wanted.source_version, "format": wanted.format, "digest": upload.digest}
    known = await _find_run(work.session, project, source)
    if known is not None:
        operation = await _operation_of(work.session, project, known)
        if operation is not None:
            return Submitted(operation, known.id, is_new=False)
    run = ModelRunRow(
        id=new_id(),
        workspace_id=project.workspace_id,
        project_id=project.id,
        purpose="import",
        name=wanted.name.strip() or wanted.source,
        state="queued",
        execution=1,
        alignment_version=1,
        configuration={},
        source=source,
        total=0,
        created_by=principal.member_id,
    )
    work.session.add(run)
    await work.session.flush()
    await work.session.refresh(run)
    work.emit(state_event(run))
    order = order.model_copy(update={"model_run_id": run.id})
    return Submitted(await _add(work, principal, project, PREDICTIONS, order), run.id, is_new=True)


async def submit_labels(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: LabelsImportWanted, upload: Upload
) -> Submitted:
    """The same upload is imported again, which changes nothing: every label is known by its id."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    order = _order(wanted, upload)
    return Submitted(await _add(work, principal, project, LABELS, order), None, is_new=True)


async def _add(
    work: UnitOfWork, principal: Principal, project: ProjectRow, kind: str, order: ImportOrder
) -> OperationRow:
    parameters: dict[str, Any] = order.model_dump(mode="json")
    return await add_operation(
        work, NewOperation(kind, project.workspace_id, project.id, parameters, principal.member_id)
    )


def _order(
    wanted: PredictionsImportWanted | LabelsImportWanted, upload: Upload, *, confidence: float = 1.0
) -> ImportOrder:
    return ImportOrder(
        format=wanted.format,
        options=wanted.model_extra or {},
        upload_id=upload.id,
        digest=upload.digest,
        confidence=confidence,
    )


def _format(project: ProjectRow, name: str, problems: Problems) -> ExchangeFormat | None:
    one = FORMATS.get(name)
    if one is None or one.read is None:
        known = ", ".join(name for name, found in FORMATS.items() if found.read)
        problems.add("/format", "unknown_format", f"the formats are {known}")
        return None
    if project.media_type not in one.projects:
        problems.add("/format", "does_not_fit_media_type", f"{one.title} is not for {project.media_type} projects")
    return one


async def _find_run(session: AsyncSession, project: ProjectRow, source: dict[str, Any]) -> ModelRunRow | None:
    """One of the same upload that did not fail and still shows what it has."""
    return await session.scalar(
        select(ModelRunRow)
        .where(
            ModelRunRow.workspace_id == project.workspace_id,
            ModelRunRow.project_id == project.id,
            ModelRunRow.purpose == "import",
            ModelRunRow.source == source,
            ModelRunRow.state.not_in(("failed", "cancelled")),
            ModelRunRow.undone_at.is_(None),
        )
        .order_by(ModelRunRow.id)
        .limit(1)
    )


async def _operation_of(session: AsyncSession, project: ProjectRow, run: ModelRunRow) -> OperationRow | None:
    return await session.scalar(
        select(OperationRow).where(
            OperationRow.workspace_id == project.workspace_id,
            OperationRow.project_id == project.id,
            OperationRow.kind == PREDICTIONS,
            OperationRow.parameters["model_run_id"].astext == str(run.id),
        )
    )
