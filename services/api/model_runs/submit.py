"""Submitting a run: everything is checked and frozen, and all of it is written in one transaction."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_runs import queries
from services.api.model_runs.asked import Asked
from services.api.model_runs.basis import Basis, hold_basis
from services.api.model_runs.holding import MOST_RINGS
from services.api.model_runs.queries import RowSelection
from services.api.model_runs.schemas import MAX_ROWS, ModelRunCreate
from services.api.model_runs.submission import check_submission, check_total
from services.api.projects.queries import hold_project
from shared.contracts.jobs import Doorbell
from shared.database.alignments import add_alignment
from shared.database.run_events import state_event
from shared.database.tables import ModelRunRow
from shared.database.unit_of_work import UnitOfWork
from shared.database.withholding import draw_withheld

SMALLEST_SEGMENT, LARGEST_SEGMENT, UNMEASURED_SEGMENT = 32, 1024, 64
_SEGMENT_SECONDS = 5.0


async def submit_model_run(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: ModelRunCreate
) -> ModelRunRow:
    """Held until commit: the project, so that its ontology stays what the alignment was checked with, and the model."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    submission = await check_submission(work.session, project, wanted)
    await hold_basis(work.session, submission.basis)
    run = _run_row(principal, submission.basis, submission.asked, wanted)
    work.session.add(run)
    await work.session.flush()
    add_alignment(work.session, run, submission.entries, principal.member_id)
    size = segment_size(submission.basis.model.rows_per_second)
    segments = await queries.insert_segments(work.session, run, _capped(submission.selection), size)
    run.total = sum(segments)
    check_total(wanted, run.total)
    await work.session.flush()
    await draw_withheld(work.session, run)
    await work.session.refresh(run)
    work.emit(state_event(run))
    work.ring(Doorbell.RUNS, min(len(segments), MOST_RINGS))
    return run


def segment_size(rows_per_second: float | None) -> int:
    """About five seconds of work."""
    if not rows_per_second:
        return UNMEASURED_SEGMENT
    return max(SMALLEST_SEGMENT, min(LARGEST_SEGMENT, round(rows_per_second * _SEGMENT_SECONDS)))


def _run_row(principal: Principal, basis: Basis, asked: Asked, wanted: ModelRunCreate) -> ModelRunRow:
    configuration = basis.configuration(
        criteria=dict(asked.aligning.criteria),
        batch_ids=wanted.batch_ids,
        only_unlabeled=wanted.only_unlabeled,
        limit=wanted.limit,
        preview_id=wanted.preview_id,
        reuse=wanted.reuse,
    )
    run = basis.new_run(principal, "run", wanted.name, configuration)
    run.priority = wanted.priority
    return run


def _capped(selection: RowSelection) -> RowSelection:
    """One row more than a run may have shows that there are too many."""
    limit = MAX_ROWS + 1 if selection.limit is None else selection.limit
    return RowSelection(selection.project, selection.batch_ids, selection.only_unlabeled, limit)
