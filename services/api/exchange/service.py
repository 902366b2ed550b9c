"""Exchange: what leaves and what comes in."""

from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.exchange import queries
from services.api.exchange.export import Export, exporting_of
from services.api.exchange.formats import FORMATS, ExchangeFormat
from services.api.exchange.imports.order import ImportOrder
from services.api.exchange.imports.report import Report
from services.api.exchange.imports.submit import LABELS, check_import, submit_labels, submit_predictions
from services.api.exchange.losses import Losses
from services.api.exchange.ontologies.taking import import_ontology
from services.api.exchange.options import chosen_options
from services.api.exchange.queries import RowFilter
from services.api.exchange.schemas import ExportReport, ExportWanted
from services.api.exchange.sources import Labels, PreLabels, Source
from services.api.model_runs.queries import get_run
from services.api.operations.queries import get_operation
from services.api.projects.queries import get_project
from shared.database.imported_runs import KIND as PREDICTIONS
from shared.database.tables import ModelRunRow, ProjectRow
from shared.errors import NotFound, Problems
from shared.object_store import ObjectStore

__all__ = [
    "Ready",
    "check_export",
    "check_import",
    "export",
    "find_report",
    "import_ontology",
    "submit_labels",
    "submit_predictions",
]


async def check_export(
    session: AsyncSession, principal: Principal, project_id: UUID, wanted: ExportWanted
) -> ProjectRow:
    """The project. Raises NotFound, or Unprocessable with all that is wrong, by name of the query parameter."""
    project = await get_project(session, principal.workspace_id, project_id)
    problems = Problems()
    one = FORMATS.get(wanted.format)
    if one is None or one.write is None:
        known = ", ".join(name for name, found in FORMATS.items() if found.write)
        problems.add("/format", "unknown_format", f"the formats are {known}")
    elif project.media_type not in one.projects:
        problems.add("/format", "does_not_fit_media_type", f"{one.title} is not for {project.media_type} projects")
    else:
        chosen_options(one.export_options, wanted.model_extra or {}, problems)
    if wanted.what == "pre_labels" and wanted.run is None:
        problems.add("/run", "missing", "say of which run the pre-labels are wanted")
    if wanted.run is not None and await _find_run(session, project, wanted.run) is None:
        problems.add("/run", "unknown_run", "the project has no such run")
    if wanted.batch is not None and not await queries.has_batch(session, project, wanted.batch):
        problems.add("/batch", "unknown_batch", "the project has no such batch")
    problems.raise_if_any("the export cannot be made like this", code="invalid_export")
    return project


async def export(session: AsyncSession, principal: Principal, project_id: UUID, wanted: ExportWanted) -> "Ready":
    """All of it comes out of the session's snapshot."""
    project = await check_export(session, principal, project_id, wanted)
    one = FORMATS[wanted.format]
    losses = Losses(one.losses)
    source = await _source(session, project, wanted, one)
    options = chosen_options(one.export_options, wanted.model_extra or {}, Problems())
    vocabulary = await queries.read_vocabulary(session, project)
    made = Export(one, source, losses)
    return Ready(made, made.pieces(exporting_of(project, wanted.what, vocabulary, losses, options)))


class Ready:
    """An export that is about to begin."""

    def __init__(self, export: Export, pieces: AsyncIterator[bytes]) -> None:
        self.export, self.pieces = export, pieces

    async def report(self, wanted: ExportWanted) -> ExportReport:
        """Made in full, and kept nowhere."""
        async for _ in self.pieces:
            pass
        made = self.export
        return ExportReport(
            format=wanted.format,
            what=wanted.what,
            data_rows=made.data_rows,
            labels=made.labels,
            losses=made.losses.listed(),
        )


async def find_report(
    session: AsyncSession, principal: Principal, project_id: UUID, operation_id: UUID, store: ObjectStore
) -> Report:
    """Raises NotFound for an operation that imports nothing into this project."""
    await get_project(session, principal.workspace_id, project_id)
    row = await get_operation(session, principal.workspace_id, operation_id)
    if row.project_id != project_id or row.kind not in {LABELS, PREDICTIONS}:
        raise NotFound()
    return Report(store, row.workspace_id, ImportOrder.model_validate(row.parameters).upload_id)


async def _source(session: AsyncSession, project: ProjectRow, wanted: ExportWanted, one: ExchangeFormat) -> Source:
    rows = RowFilter(
        batch_id=wanted.batch,
        feature_schema_id=wanted.feature,
        model_run_id=wanted.run,
        submitted=wanted.submitted,
        since=wanted.since,
        empty_rows=wanted.empty_rows,
    )
    if wanted.what == "labels":
        return Labels(session, project, rows, whole="decisions" in one.holds)
    run = await _find_run(session, project, wanted.run) if wanted.run else None
    if run is None:
        raise NotFound()
    return PreLabels(session, project, run, rows, frozenset(wanted.state))


async def _find_run(session: AsyncSession, project: ProjectRow, run_id: UUID) -> ModelRunRow | None:
    """Previews are no runs here."""
    try:
        run = await get_run(session, project.workspace_id, run_id)
    except NotFound:
        return None
    return run if run.project_id == project.id else None
