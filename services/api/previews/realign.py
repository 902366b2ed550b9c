"""Changing what a preview shows: another alignment or other thresholds, from what is stored. No model is asked."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.etags import check_revision
from services.api.model_runs.basis import find_ground
from services.api.model_runs.holding import hold_run
from services.api.model_runs.realigning import Present, realigned
from services.api.model_runs.schemas import AlignmentUpdate
from services.api.previews import queries
from services.api.projections.reproject import reproject
from services.api.projects.queries import hold_project
from shared.contracts.events import TERMINAL_STATES
from shared.contracts.preview_events import PreviewRealigned
from shared.database.alignments import read_alignment
from shared.database.run_events import preview_event
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict
from shared.run_configuration import RunConfiguration


async def update_preview(
    work: UnitOfWork, principal: Principal, preview_id: UUID, expected: int, changes: AlignmentUpdate
) -> ModelRunRow:
    """Always at once: a sample is small. Raises PreconditionFailed for another version, Conflict before its end."""
    preview = await queries.get_preview(work.session, principal.workspace_id, preview_id)
    # Until commit its ontology stays what the alignment is checked with.
    project = await hold_project(work.session, principal.workspace_id, preview.project_id)
    await hold_run(work, preview)
    check_revision(expected, preview.alignment_version)
    _check_ended(preview)
    present = await read_alignment(work.session, preview)
    configuration = RunConfiguration.model_validate(preview.configuration)
    ground = await find_ground(work.session, project, configuration.card)
    entries = realigned(Present(present, configuration.criteria), changes, ground)
    if entries != present.entries:
        await reproject(work, preview, entries, principal.member_id)
        work.emit(preview_event(preview, PreviewRealigned))
    return preview


def _check_ended(preview: ModelRunRow) -> None:
    if preview.state not in TERMINAL_STATES:
        raise Conflict(
            f"the preview is {preview.state}; its alignment changes once it has ended. Meanwhile its pre-labels can be "
            "seen at other thresholds: GET …/pre-labels?threshold=",
            code="run_not_ended",
            extra={"state": preview.state, "allowed": sorted(TERMINAL_STATES)},
        )
