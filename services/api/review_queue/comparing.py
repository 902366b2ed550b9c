"""How far runs disagree about each data row they share: an operation, whose result orders the review queue."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.access.principal import Principal
from services.api.previews.compare import tally
from services.api.previews.sweep import thing_of
from services.api.projections.reading import Reader, ReadRow
from services.api.projects.queries import hold_project
from services.api.review_queue import queries
from services.api.review_queue.schemas import RunComparisonCreate
from shared.alignment import Alignment
from shared.contracts.events import TERMINAL_STATES
from shared.database.alignments import read_alignment
from shared.database.driver import driver_of
from shared.database.operations import NewOperation, add_operation
from shared.database.tables import ModelRunRow, OperationRow, RowDisagreementRow, RunComparisonRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import NotFound, Problems
from shared.ids import new_id
from shared.operations import RunningOperation
from shared.selection import Candidate
from shared.selection import select as select_shown

KIND = "measure_disagreement"
_COLUMNS = ("comparison_id", "data_row_id", "workspace_id", "disagreement", "submitted")


class Compared(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    comparison_id: UUID


async def measure_disagreement(
    work: UnitOfWork, principal: Principal, project_id: UUID, wanted: RunComparisonCreate
) -> OperationRow:
    """Raises Unprocessable for runs that are not the project's, stand twice or have not ended."""
    project = await hold_project(work.session, principal.workspace_id, project_id)
    found = {run.id: run for run in await queries.find_runs(work.session, project, wanted.model_run_ids)}
    _check(wanted, found)
    comparison = RunComparisonRow(
        id=new_id(),
        workspace_id=project.workspace_id,
        project_id=project.id,
        model_run_ids=list(wanted.model_run_ids),
        alignment_versions=[found[run_id].alignment_version for run_id in wanted.model_run_ids],
        created_by=principal.member_id,
    )
    work.session.add(comparison)
    await work.session.flush()
    parameters = Compared(comparison_id=comparison.id).model_dump(mode="json")
    return await add_operation(
        work, NewOperation(KIND, project.workspace_id, project.id, parameters, principal.member_id)
    )


def _check(wanted: RunComparisonCreate, found: Mapping[UUID, ModelRunRow]) -> None:
    problems = Problems()
    for index, run_id in enumerate(wanted.model_run_ids):
        pointer, run = f"/model_run_ids/{index}", found.get(run_id)
        if run is None:
            problems.add(pointer, "unknown_model_run", "the project has no such run")
        elif run_id in wanted.model_run_ids[:index]:
            problems.add(pointer, "duplicate_model_run", "the run stands twice")
        elif run.state not in TERMINAL_STATES:
            problems.add(pointer, "run_not_ended", f"the run is {run.state}")
    problems.raise_if_any("these runs cannot be compared", code="invalid_comparison")


async def work_on_comparison(operation: RunningOperation) -> None:
    """Some thousand detections a step, in data row order; an attempt goes on where the last one ended."""
    comparison_id = Compared.model_validate(operation.parameters).comparison_id
    last, done = None, operation.claim.progress.done
    async with operation.step() as work:
        last = await _last_row(work.session, comparison_id)
    while True:
        async with operation.step() as work:
            comparison = await _comparison(work.session, operation, comparison_id)
            views = [
                await _View.of(work.session, run, version) for run, version in await _runs(work.session, comparison)
            ]
            rows = await views[0].reader.rows_after(last)
            if not rows:
                break
            await _store(work.session, comparison, await _compare(views, rows))
            last, done = rows[-1].data_row_id, done + len(rows)
            await operation.report(work, done, views[0].run.succeeded, "comparing")
    async with operation.step() as work:
        comparison = await _comparison(work.session, operation, comparison_id)
        await _publish(work.session, comparison)
        result = {"comparison_id": str(comparison_id), "model_run_ids": [str(one) for one in comparison.model_run_ids]}
        await operation.succeed(work, result)


class _View:
    """A run as it was shown when the comparison was asked for."""

    def __init__(self, run: ModelRunRow, alignment: Alignment, reader: Reader) -> None:
        self.run, self.alignment, self.reader = run, alignment, reader

    @classmethod
    async def of(cls, session: AsyncSession, run: ModelRunRow, version: int) -> "_View":
        alignment = await read_alignment(session, run, version)
        return cls(run, alignment, Reader(session, run, alignment, whole=True))

    def see(self, row: ReadRow) -> Sequence[Candidate]:
        return select_shown(row.detections, self.alignment).visible


async def _compare(views: Sequence[_View], rows: Sequence[ReadRow]) -> list[tuple[ReadRow, float]]:
    """Of the rows that all of them have results for."""
    seen = [{row.data_row_id: row for row in rows}]
    for view in views[1:]:
        seen.append({row.data_row_id: row for row in await view.reader.these(list(seen[0]))})
    shared = [row for row in rows if all(row.data_row_id in one for one in seen)]
    return [
        (row, _disagreement([view.see(one[row.data_row_id]) for view, one in zip(views, seen, strict=True)]))
        for row in shared
    ]


def _disagreement(shown: Sequence[Sequence[Candidate]]) -> float:
    """1 minus the share of what two runs show that both do, over all pairs; runs that show nothing agree."""
    things = [
        [thing_of(one) for one in sorted(candidates, key=lambda one: -one.detection.confidence)] for candidates in shown
    ]
    agreements = (tally(one, other).agreement for one, other in combinations(things, 2))
    return 1 - fmean(1.0 if agreement is None else agreement for agreement in agreements)


async def _store(session: AsyncSession, comparison: RunComparisonRow, found: Sequence[tuple[ReadRow, float]]) -> None:
    of = comparison.id, comparison.workspace_id
    records = [(of[0], row.data_row_id, of[1], disagreement, row.submitted) for row, disagreement in found]
    await (await driver_of(session)).copy_records_to_table("row_disagreements", records=records, columns=_COLUMNS)


async def _publish(session: AsyncSession, comparison: RunComparisonRow) -> None:
    """From here on the queue goes by it; earlier ones of the same runs are of no use any more."""
    of_project = (
        RunComparisonRow.workspace_id == comparison.workspace_id,
        RunComparisonRow.project_id == comparison.project_id,
    )
    await session.execute(
        update(RunComparisonRow).where(*of_project, RunComparisonRow.id == comparison.id).values(state="ready")
    )
    await session.execute(
        delete(RunComparisonRow).where(
            *of_project,
            RunComparisonRow.id < comparison.id,
            RunComparisonRow.model_run_ids == comparison.model_run_ids,
            RunComparisonRow.state == "ready",
        )
    )


async def _last_row(session: AsyncSession, comparison_id: UUID) -> UUID | None:
    return await session.scalar(
        select(RowDisagreementRow.data_row_id)
        .where(RowDisagreementRow.comparison_id == comparison_id)
        .order_by(RowDisagreementRow.data_row_id.desc())
        .limit(1)
    )


async def _comparison(session: AsyncSession, operation: RunningOperation, comparison_id: UUID) -> RunComparisonRow:
    found = await session.scalar(
        select(RunComparisonRow).where(
            RunComparisonRow.workspace_id == operation.claim.workspace_id, RunComparisonRow.id == comparison_id
        )
    )
    if found is None:
        raise NotFound("the comparison is gone")
    return found


async def _runs(session: AsyncSession, comparison: RunComparisonRow) -> list[tuple[ModelRunRow, int]]:
    """In the order they were named, with the alignment versions they were shown by."""
    rows = await session.scalars(
        select(ModelRunRow).where(
            ModelRunRow.workspace_id == comparison.workspace_id, ModelRunRow.id.in_(comparison.model_run_ids)
        )
    )
    found = {run.id: run for run in rows}
    if len(found) < len(comparison.model_run_ids):
        raise NotFound("a compared run is gone")
    return [
        (found[run_id], version)
        for run_id, version in zip(comparison.model_run_ids, comparison.alignment_versions, strict=True)
    ]
