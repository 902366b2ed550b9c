"""Taking a bulk back, where what came of it is unchanged since: its decision still stands."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from services.api.projections.reproject import Projector
from services.api.review import bulk_queries, queries
from services.api.review.bulk_operation import NOTHING, project_of
from services.api.review.bulk_plan import ROWS_AT_ONCE
from services.api.review.bulk_queries import HeldReview
from services.api.review.bulk_schemas import UndoCounts, UndoWork
from services.api.review.changes import Change
from services.api.review.desk import Desk
from services.api.review.writing import Hand, add_decisions, mark
from shared.contracts.review_events import BulkUndone
from shared.database.alignments import read_alignment
from shared.database.operations import remember
from shared.database.tables import DecisionRow, ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.operations import RunningOperation


async def undo_in_bulk(operation: RunningOperation) -> None:
    asked = UndoWork.model_validate(operation.parameters)
    done, total = operation.claim.progress.done, None
    while True:
        async with operation.step() as work:
            project = await project_of(work, operation)
            decided = await _next(work, project, asked)
            if not decided:
                break
            if total is None:
                total = await bulk_queries.count_rows_of_bulk(work.session, project, asked.operation_id)
            counts = await _undo(work, operation, project, decided)
            asked = asked.model_copy(update={"last": max(decided), "counts": _sum(asked.counts, counts)})
            done += len(decided)
            await remember(work.session, operation.claim, asked.model_dump(mode="json"))
            await operation.report(work, done, total, "undoing")
    async with operation.step() as work:
        project = await project_of(work, operation)
        work.emit(
            BulkUndone(
                workspace_id=project.workspace_id,
                project_id=project.id,
                operation_id=asked.operation_id,
                **asked.counts.model_dump(),
            )
        )
        await operation.succeed(work, {"operation_id": str(asked.operation_id), **asked.counts.model_dump()})


async def _next(work: UnitOfWork, project: ProjectRow, asked: UndoWork) -> dict[UUID, list[DecisionRow]]:
    rows = await bulk_queries.list_rows_of_bulk(work.session, project, asked.operation_id, asked.last, ROWS_AT_ONCE)
    found: defaultdict[UUID, list[DecisionRow]] = defaultdict(list)
    for decision in await bulk_queries.list_decisions_of_bulk(work.session, project, asked.operation_id, rows):
        found[decision.data_row_id].append(decision)
    return found


async def _undo(
    work: UnitOfWork,
    operation: RunningOperation,
    project: ProjectRow,
    decided: Mapping[UUID, Sequence[DecisionRow]],
) -> UndoCounts:
    session, now = work.session, await queries.database_time(work.session)
    reviews = await bulk_queries.hold_reviews(session, project, sorted(decided), hold=True)
    free = [row for row in decided if _is_free(reviews.get(row), operation.claim.created_by)]
    # Read again, now that nobody else can change what stands.
    standing: defaultdict[UUID, list[DecisionRow]] = defaultdict(list)
    of_bulk = decided[next(iter(decided))][0].operation_id
    assert of_bulk is not None
    for decision in await bulk_queries.list_decisions_of_bulk(session, project, of_bulk, free):
        if not decision.undone:
            standing[decision.data_row_id].append(decision)
    every = [decision for of_row in standing.values() for decision in of_row]
    await mark(session, project.workspace_id, [decision.id for decision in every], undone=True)
    labels = {label.id: label for label in await bulk_queries.list_labels_on(session, project, list(standing))}
    for data_row in await bulk_queries.list_data_rows(session, project, list(standing)):
        review = reviews[data_row.id].review
        review.revision, review.updated_at = review.revision + 1, now
        hand = Hand(operation.claim.created_by, now, Desk(data_row, review, {}, {}, NOTHING, {}), operation.claim.id)
        changes = [
            Change("undo", label=labels.get(one.label_id) if one.label_id else None, stood=one)
            for one in standing[data_row.id]
        ]
        add_decisions(session, hand, changes)
    await session.flush()
    await _see_again(work, project, every)
    return UndoCounts(undone=len(every), kept=sum(map(len, decided.values())) - len(every))


def _is_free(held: HeldReview | None, member_id: UUID) -> bool:
    if held is None or held.review.state != "open":
        return False
    return not held.is_reserved or held.review.reserved_by == member_id


async def _see_again(work: UnitOfWork, project: ProjectRow, undone: Sequence[DecisionRow]) -> None:
    """Where the run is shown by another alignment than it was decided under."""
    rows: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for decision in undone:
        if decision.model_run_id is not None:
            rows[decision.model_run_id].add(decision.data_row_id)
    for run_id, data_row_ids in sorted(rows.items()):
        run = await bulk_queries.find_run(work.session, project, run_id, hold=True)
        if run is not None and not all(_is_of(one, run.alignment_version) for one in undone):
            projector = Projector(work.session, run, await read_alignment(work.session, run))
            await projector.refresh(sorted(data_row_ids))


def _is_of(decision: DecisionRow, version: int) -> bool:
    return decision.shown is not None and decision.shown["alignment_version"] == version


def _sum(one: UndoCounts, other: UndoCounts) -> UndoCounts:
    return UndoCounts(undone=one.undone + other.undone, kept=one.kept + other.kept)
