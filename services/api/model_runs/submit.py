"""Submitting a run: everything is checked and frozen, and all of it is written in one transaction."""

from uuid import UUID

from services.api.access.principal import Principal
from services.api.model_runs import queries
from services.api.model_runs.asked import Asked, read_asked
from services.api.model_runs.basis import Basis, find_basis
from services.api.model_runs.checks import Rows, check_rows
from services.api.model_runs.queries import RowSelection
from services.api.model_runs.schemas import MAX_ROWS, ModelRunCreate
from services.api.projects.queries import hold_project
from shared.contracts.jobs import Doorbell
from shared.database.alignments import add_alignment
from shared.database.run_events import state_event
from shared.database.tables import ModelRunRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Problems

SMALLEST_SEGMENT, LARGEST_SEGMENT, UNMEASURED_SEGMENT = 32, 1024, 64
_SEGMENT_SECONDS = 5.0
_MOST_RINGS = 8
_REFUSED = "the run cannot be submitted like this"


async def submit_model_run(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: ModelRunCreate
) -> ModelRunRow:
    """Held until commit: the project, so that its ontology stays what the alignment was checked with."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    selection = RowSelection(project, wanted.batch_ids, wanted.only_unlabeled, wanted.limit)
    problems = Problems()
    check_rows(wanted, await _look_for_rows(work, selection), problems)
    asked, basis = await _find_model(work, project, wanted, problems)
    entries = asked.check(basis.ground, problems)
    problems.raise_if_any(_REFUSED, code="invalid_model_run")

    run = _run_row(principal, basis, asked, wanted)
    work.session.add(run)
    await work.session.flush()
    add_alignment(work.session, run, entries, principal.member_id)
    size = segment_size(basis.model.rows_per_second)
    segments = await queries.insert_segments(work.session, run, _capped(selection), size)
    run.total = sum(segments)
    _check_total(wanted, run.total)
    await work.session.flush()
    await work.session.refresh(run)
    work.emit(state_event(run))
    work.ring(Doorbell.RUNS, min(len(segments), _MOST_RINGS))
    return run


def segment_size(rows_per_second: float | None) -> int:
    """About five seconds of work."""
    if not rows_per_second:
        return UNMEASURED_SEGMENT
    return max(SMALLEST_SEGMENT, min(LARGEST_SEGMENT, round(rows_per_second * _SEGMENT_SECONDS)))


async def _look_for_rows(work: UnitOfWork, selection: RowSelection) -> Rows:
    unknown = await queries.find_unknown_batches(work.session, selection.project, selection.batch_ids)
    return Rows(unknown, await queries.has_rows(work.session, selection))


async def _find_model(
    work: UnitOfWork, project: ProjectRow, wanted: ModelRunCreate, problems: Problems
) -> tuple[Asked, Basis]:
    """Raises Unprocessable when there is none: without a model nothing more can be checked."""
    asked = await read_asked(work.session, project, wanted, problems)
    if asked is not None:
        basis = await find_basis(work.session, project, asked.model_id, asked.pointer, problems)
        if basis is not None:
            return asked, basis
    problems.raise_if_any(_REFUSED, code="invalid_model_run")
    raise AssertionError("no model, and no problem")


def _run_row(principal: Principal, basis: Basis, asked: Asked, wanted: ModelRunCreate) -> ModelRunRow:
    configuration = basis.configuration(
        criteria=dict(asked.aligning.criteria),
        batch_ids=wanted.batch_ids,
        only_unlabeled=wanted.only_unlabeled,
        limit=wanted.limit,
        preview_id=wanted.preview_id,
    )
    run = basis.new_run(principal, "run", wanted.name, configuration)
    run.priority = wanted.priority
    return run


def _capped(selection: RowSelection) -> RowSelection:
    """One row more than a run may have shows that there are too many."""
    limit = MAX_ROWS + 1 if selection.limit is None else selection.limit
    return RowSelection(selection.project, selection.batch_ids, selection.only_unlabeled, limit)


def _check_total(wanted: ModelRunCreate, total: int) -> None:
    problems = Problems()
    check_rows(wanted, Rows((), any_to_do=total > 0), problems)
    if total > MAX_ROWS:
        problems.add(
            "/limit", "too_many_rows", f"a run takes at most {MAX_ROWS} data rows; set a limit or name batches"
        )
    problems.raise_if_any(_REFUSED, code="invalid_model_run")
