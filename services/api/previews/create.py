"""Making a preview: checked like a run, on a sample, and written in one transaction."""

from collections.abc import Sequence
from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_catalog.schemas import suggested_entries
from services.api.model_catalog.service import suggest_by_name
from services.api.model_runs.basis import Basis, find_basis, hold_basis
from services.api.model_runs.checks import Aligning, check_alignment
from services.api.model_runs.schemas import AlignmentEntryCreate
from services.api.previews import queries
from services.api.previews.remove import make_room
from services.api.previews.samples import take_sample
from services.api.previews.schemas import PreviewCreate
from services.api.projects.queries import hold_project
from shared.alignment import AlignmentEntry
from shared.contracts.jobs import Doorbell
from shared.database.alignments import add_alignment
from shared.database.run_events import state_event
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.database.withholding import draw_withheld
from shared.errors import Problems

_SMALLEST_SEGMENT, _LARGEST_SEGMENT, _SEGMENTS = 8, 64, 8
_MOST_RINGS = 4
_REFUSED, _CODE = "the preview cannot be made like this", "invalid_preview"


async def create_preview(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: PreviewCreate, kept: int
) -> ModelRunRow:
    """Held until commit: the project, so that its ontology stays what the alignment was checked with."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    problems = Problems()
    sampled = await take_sample(work.session, project, wanted.sample, problems)
    basis = await find_basis(work.session, project, wanted.model_id, "/model_id", problems)
    aligning = await _aligning(work, principal, basis, wanted) if basis else None
    entries = check_alignment(aligning, basis.ground, problems) if basis and aligning else ()
    if basis and not aligning:
        detail = "no class of the model could be aligned by itself: send an alignment"
        problems.add("/alignment", "nothing_suggested", detail)
    problems.raise_if_any(_REFUSED, code=_CODE)
    assert basis is not None
    assert aligning is not None
    await hold_basis(work.session, basis)
    assert sampled is not None
    await make_room(work, project, kept)
    configuration = basis.configuration(criteria=dict(aligning.criteria), sample=sampled.sample, reuse=wanted.reuse)
    preview = basis.new_run(principal, "preview", wanted.name, configuration)
    await _write(work, preview, entries, sampled.data_row_ids)
    return preview


async def _aligning(work: UnitOfWork, principal: Principal, basis: Basis, wanted: PreviewCreate) -> Aligning | None:
    """As the body says, or as names suggest; None when they suggest nothing."""
    if wanted.alignment is not None:
        return Aligning(wanted.alignment.entries, wanted.threshold, wanted.criteria)
    by_name = await suggest_by_name(work.session, principal, basis.project.id, basis.model.id)
    criteria = wanted.criteria or by_name.criteria
    suggested = suggested_entries(by_name.card, by_name.found)
    entries = [
        AlignmentEntryCreate.model_validate(entry.model_dump())
        for entry in suggested
        # The user's own words may be others than those that were thought of.
        if entry.model_class in criteria or not by_name.card.open_ended
    ]
    return Aligning(entries, wanted.threshold, criteria) if entries else None


async def _write(
    work: UnitOfWork, preview: ModelRunRow, entries: Sequence[AlignmentEntry], data_row_ids: Sequence[UUID]
) -> None:
    preview.total = len(data_row_ids)
    work.session.add(preview)
    await work.session.flush()
    add_alignment(work.session, preview, entries, preview.created_by)
    segments = queries.add_segments(work.session, preview, data_row_ids, segment_size(preview.total))
    await work.session.flush()
    await draw_withheld(work.session, preview)
    await work.session.refresh(preview)
    work.emit(state_event(preview))
    work.ring(Doorbell.PREVIEWS, min(segments, _MOST_RINGS))


def segment_size(rows: int) -> int:
    """Small, so that every lane has one at once and the first results come quickly."""
    return max(_SMALLEST_SEGMENT, min(_LARGEST_SEGMENT, -(-rows // _SEGMENTS)))
