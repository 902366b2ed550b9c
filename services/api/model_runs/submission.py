"""All that is looked at before a run is submitted or estimated."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from services.api.model_runs import queries
from services.api.model_runs.asked import Asked, read_asked
from services.api.model_runs.basis import Basis, find_basis
from services.api.model_runs.checks import Rows, check_rows
from services.api.model_runs.queries import RowSelection
from services.api.model_runs.schemas import MAX_ROWS, ModelRunCreate
from shared.alignment import AlignmentEntry
from shared.database.tables import ProjectRow
from shared.errors import Problems

_REFUSED = "the run cannot be submitted like this"


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that may be made, as far as its data rows have not been counted."""

    selection: RowSelection
    asked: Asked
    basis: Basis
    entries: tuple[AlignmentEntry, ...]


async def check_submission(session: AsyncSession, project: ProjectRow, wanted: ModelRunCreate) -> Submission:
    """Raises Unprocessable with all problems, or Conflict for a model that cannot run here."""
    selection = RowSelection(project, wanted.batch_ids, wanted.only_unlabeled, wanted.limit)
    problems = Problems()
    check_rows(wanted, await _look_for_rows(session, selection), problems)
    asked, basis = await _find_model(session, project, wanted, problems)
    entries = asked.check(basis.ground, problems)
    problems.raise_if_any(_REFUSED, code="invalid_model_run")
    return Submission(selection, asked, basis, entries)


def check_total(wanted: ModelRunCreate, total: int) -> None:
    problems = Problems()
    check_rows(wanted, Rows((), any_to_do=total > 0), problems)
    if total > MAX_ROWS:
        problems.add(
            "/limit", "too_many_rows", f"a run takes at most {MAX_ROWS} data rows; set a limit or name batches"
        )
    problems.raise_if_any(_REFUSED, code="invalid_model_run")


async def _look_for_rows(session: AsyncSession, selection: RowSelection) -> Rows:
    unknown = await queries.find_unknown_batches(session, selection.project, selection.batch_ids)
    return Rows(unknown, await queries.has_rows(session, selection))


async def _find_model(
    session: AsyncSession, project: ProjectRow, wanted: ModelRunCreate, problems: Problems
) -> tuple[Asked, Basis]:
    """Raises Unprocessable when there is none: without a model nothing more can be checked."""
    asked = await read_asked(session, project, wanted, problems)
    if asked is not None:
        basis = await find_basis(session, project, asked.model_id, asked.pointer, problems)
        if basis is not None:
            return asked, basis
    problems.raise_if_any(_REFUSED, code="invalid_model_run")
    raise AssertionError("no model, and no problem")
