"""Changing what a preview shows: another alignment or other thresholds, from what is stored. No model is asked."""

from collections.abc import Sequence
from uuid import UUID

from services.api.access.principal import Principal
from services.api.etags import check_revision
from services.api.model_runs.basis import find_ground
from services.api.model_runs.cancel import hold_run
from services.api.model_runs.checks import Aligning, check_alignment, check_threshold
from services.api.pointers import escape
from services.api.previews import queries
from services.api.previews.schemas import PreviewUpdate
from services.api.projections.reproject import reproject
from services.api.projects.queries import hold_project
from shared.alignment import AlignmentEntry
from shared.contracts.event import RunState
from shared.contracts.events import TERMINAL_STATES
from shared.contracts.preview_events import PreviewRealigned
from shared.database.alignments import read_alignment
from shared.database.run_events import preview_event
from shared.database.tables import ModelRunRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict, Problems
from shared.run_configuration import RunConfiguration


async def update_preview(
    work: UnitOfWork, principal: Principal, preview_id: UUID, expected: int, changes: PreviewUpdate
) -> ModelRunRow:
    """Raises PreconditionFailed for another version, and Conflict for a preview that has not ended."""
    preview = await queries.get_preview(work.session, principal.workspace_id, preview_id)
    # Until commit its ontology stays what the alignment is checked with.
    project = await hold_project(work.session, principal.workspace_id, preview.project_id)
    await hold_run(work, preview)
    check_revision(expected, preview.alignment_version)
    _check_ended(preview)
    present = (await read_alignment(work.session, preview)).entries
    entries = await _entries(work, project, preview, present, changes)
    if tuple(entries) != present:
        await reproject(work, preview, entries, principal.member_id)
        work.emit(preview_event(preview, PreviewRealigned))
    return preview


def _check_ended(preview: ModelRunRow) -> None:
    state: RunState = preview.state  # type: ignore[assignment]
    if state not in TERMINAL_STATES:
        raise Conflict(
            f"the preview is {state}; its alignment can be changed once it has ended, and other thresholds looked at "
            "with GET …/pre-labels?threshold= meanwhile",
            code="preview_not_ended",
            extra={"state": state},
        )


async def _entries(
    work: UnitOfWork,
    project: ProjectRow,
    preview: ModelRunRow,
    present: Sequence[AlignmentEntry],
    changes: PreviewUpdate,
) -> Sequence[AlignmentEntry]:
    problems = Problems()
    for name in changes.model_fields_set:
        if getattr(changes, name) is None:
            problems.add(f"/{name}", "null", "it cannot be removed; leave it out to keep it")
    configuration = RunConfiguration.model_validate(preview.configuration)
    card, entries = configuration.card, present
    if changes.alignment is not None:
        ground = await find_ground(work.session, project, card)
        wanted = Aligning(changes.alignment.entries, changes.threshold, configuration.criteria)
        entries = check_alignment(wanted, ground, problems)
    else:
        check_threshold("/threshold", changes.threshold, card, problems)
        if changes.threshold is not None:
            entries = [_at(entry, changes.threshold) for entry in entries]
    thresholds = changes.thresholds or {}
    known = {entry.model_class for entry in (changes.alignment.entries if changes.alignment else present)}
    for name, threshold in thresholds.items():
        pointer = f"/thresholds/{escape(name)}"
        check_threshold(pointer, threshold, card, problems)
        if name not in known:
            problems.add(pointer, "unknown_model_class", "no entry of the alignment has this class")
    problems.raise_if_any("the preview cannot be changed like this", code="invalid_preview")
    return [_at(entry, thresholds.get(entry.model_class, entry.threshold)) for entry in entries]


def _at(entry: AlignmentEntry, threshold: float) -> AlignmentEntry:
    return entry if entry.threshold == threshold else entry.model_copy(update={"threshold": threshold})
