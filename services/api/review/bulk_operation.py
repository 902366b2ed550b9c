"""A bulk and its undo as operations: 1,000 data rows a transaction, one event at the end.

How far it is stands in the operation's parameters, written with each step, so that another worker goes on from there
and counts nothing twice.
"""

from uuid import UUID

from services.api.projects.queries import hold_project
from services.api.review import bulk_queries, queries
from services.api.review.bulk_plan import Ground, Plan, lay_ground, make_plan
from services.api.review.bulk_schemas import BulkWork
from services.api.review.desk import Desk
from services.api.review.fitting import Ground as Nothing
from services.api.review.writing import Hand, add_decisions
from shared.contracts.review_events import BulkDecided
from shared.database.operations import remember
from shared.database.tables import ProjectRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import NotFound
from shared.operations import RunningOperation

NOTHING = Nothing({}, set(), set(), None)
"""A desk's ground where nothing is checked by it."""


async def decide_in_bulk(operation: RunningOperation) -> None:
    asked, done = BulkWork.model_validate(operation.parameters), operation.claim.progress.done
    while True:
        async with operation.step() as work:
            project = await project_of(work, operation)
            # Reviews before the run, as whoever decides by hand.
            ground = await lay_ground(work.session, project, asked, hold=False)
            plan = await make_plan(work.session, ground, asked, operation.claim.created_by)
            if plan.last is None:
                break
            await lay_ground(work.session, project, asked, hold=True)
            if not asked.dry_run:
                await _write(work, operation, ground, plan)
            asked = asked.model_copy(update={"last": plan.last, "counts": plan.add_to(asked.counts)})
            done += plan.looked
            await remember(work.session, operation.claim, asked.model_dump(mode="json"))
            await operation.report(work, done, ground.run.succeeded, "counting" if asked.dry_run else "deciding")
    async with operation.step() as work:
        if not asked.dry_run:
            work.emit(_event(await project_of(work, operation), operation.claim.id, asked))
        result = {"action": asked.action, "dry_run": asked.dry_run, **asked.counts.model_dump()}
        await operation.succeed(work, result)


async def project_of(work: UnitOfWork, operation: RunningOperation) -> ProjectRow:
    if operation.claim.project_id is None:
        raise NotFound("the project is gone")
    return await hold_project(work.session, operation.claim.workspace_id, operation.claim.project_id)


async def _write(work: UnitOfWork, operation: RunningOperation, ground: Ground, plan: Plan) -> None:
    now = await queries.database_time(work.session)
    models: dict[UUID, dict[str, object]] = {}
    for data_row in await bulk_queries.list_data_rows(work.session, ground.project, list(plan.changes)):
        review = plan.reviews[data_row.id].review
        review.revision, review.updated_at = review.revision + 1, now
        desk = Desk(data_row, review, {}, {}, NOTHING, ground.names)
        hand = Hand(operation.claim.created_by, now, desk, operation.claim.id, models)
        add_decisions(work.session, hand, plan.changes[data_row.id])
    await work.session.flush()


def _event(project: ProjectRow, operation_id: UUID, asked: BulkWork) -> BulkDecided:
    accepts = asked.action == "accept"
    return BulkDecided(
        workspace_id=project.workspace_id,
        project_id=project.id,
        operation_id=operation_id,
        accepted=asked.counts.pre_labels if accepts else 0,
        rejected=0 if accepts else asked.counts.pre_labels,
        data_rows=asked.counts.data_rows,
    )
