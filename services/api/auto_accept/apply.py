"""Applying a policy to a finished run: 1,000 data rows a transaction, as a bulk does it.

Of the data rows on which it would accept something, a share is drawn by the policy's secret seed and left as it is.
Those stay pending among all others, and only `policy_audits` says what they are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.api.auto_accept import queries
from services.api.auto_accept.schemas import PolicyWork
from services.api.draws import is_drawn
from services.api.review import bulk_queries
from services.api.review import queries as review_queries
from services.api.review.bulk_operation import NOTHING, project_of
from services.api.review.bulk_plan import Ground, Plan, lay_ground, make_plan
from services.api.review.bulk_schemas import BulkWork
from services.api.review.changes import Change
from services.api.review.desk import Desk
from services.api.review.writing import Hand, add_decisions
from shared.contracts.policy_events import PolicyApplied
from shared.database.operations import remember
from shared.database.tables import PolicyRow
from shared.database.unit_of_work import UnitOfWork
from shared.operations import RunningOperation

KIND = "apply_policy"

Changes = Mapping[UUID, Sequence[Change]]


@dataclass(frozen=True, slots=True)
class Held:
    """A step's data rows, with all that is held for them."""

    policy: PolicyRow
    ground: Ground
    plan: Plan


async def apply_policy(operation: RunningOperation) -> None:
    """Ends early, and says so, when the policy does."""
    asked, done, more = PolicyWork.model_validate(operation.parameters), operation.claim.progress.done, True
    while more:
        async with operation.step() as work:
            policy = await queries.get_policy(work.session, operation.claim.workspace_id, asked.policy_id)
            bulk = _as_bulk(policy, asked)
            ground = await lay_ground(work.session, await project_of(work, operation), bulk, hold=False)
            plan = await make_plan(work.session, ground, bulk, policy.created_by)
            # Reviews, the run, the policy: the order of whoever decides by hand.
            await lay_ground(work.session, ground.project, bulk, hold=True)
            await queries.lock_policy(work.session, policy)
            more = plan.last is not None and policy.state == "active"
            if more:
                asked = await _step(work, operation, Held(policy, ground, plan), asked)
                done += plan.looked
                await operation.report(work, done, ground.run.succeeded, "accepting")
    async with operation.step() as work:
        policy = await queries.get_policy(work.session, operation.claim.workspace_id, asked.policy_id)
        work.emit(_event(policy, operation, asked))
        counts = {name: getattr(asked, name) for name in ("accepted", "data_rows", "skipped")}
        result = {"policy_id": str(policy.id), "policy_state": policy.state, **counts}
        await operation.succeed(work, result)


def _as_bulk(policy: PolicyRow, asked: PolicyWork) -> BulkWork:
    return BulkWork(
        action="accept",
        model_run_id=asked.model_run_id,
        feature_schema_id=policy.feature_schema_id,
        confidence_min=policy.threshold,
        alignment_version=asked.alignment_version,
        requested_at=asked.requested_at,
        last=asked.last,
    )


async def _step(work: UnitOfWork, operation: RunningOperation, held: Held, asked: PolicyWork) -> PolicyWork:
    policy, plan = held.policy, held.plan
    wanted = {row: _of_option(policy, changes) for row, changes in plan.changes.items()}
    audited = {row for row in wanted if is_drawn(policy.seed, row, policy.audit_share)}
    places = [(row, one.seen.pre_label.ordinal) for row in audited for one in wanted[row] if one.seen]
    await queries.add_audits(work.session, policy, asked.model_run_id, places)
    accepted = {row: changes for row, changes in wanted.items() if changes and row not in audited}
    await _write(work, operation, held, accepted)
    count = sum(map(len, accepted.values()))
    policy.accepted += count
    skipped = Counter(asked.skipped)
    skipped.update({str(reason): number for reason, number in plan.skipped.items()})
    asked = asked.model_copy(
        update={
            "last": plan.last,
            "accepted": asked.accepted + count,
            "data_rows": asked.data_rows + len(accepted),
            "skipped": dict(skipped),
        }
    )
    await remember(work.session, operation.claim, asked.model_dump(mode="json"))
    return asked


def _of_option(policy: PolicyRow, changes: Sequence[Change]) -> list[Change]:
    return [
        one
        for one in changes
        if one.seen is not None and policy.option_id in {None, one.seen.pre_label.target.option_id}
    ]


async def _write(work: UnitOfWork, operation: RunningOperation, held: Held, accepted: Changes) -> None:
    policy, plan = held.policy, held.plan
    now = await review_queries.database_time(work.session)
    models: dict[UUID, dict[str, object]] = {}
    for data_row in await bulk_queries.list_data_rows(work.session, held.ground.project, list(accepted)):
        review = plan.reviews[data_row.id].review
        review.revision, review.updated_at = review.revision + 1, now
        desk = Desk(data_row, review, {}, {}, NOTHING, held.ground.names)
        hand = Hand(policy.created_by, now, desk, operation.claim.id, models, policy.id)
        add_decisions(work.session, hand, accepted[data_row.id])
    await work.session.flush()


def _event(policy: PolicyRow, operation: RunningOperation, asked: PolicyWork) -> PolicyApplied:
    return PolicyApplied(
        workspace_id=policy.workspace_id,
        project_id=policy.project_id,
        policy_id=policy.id,
        model_run_id=asked.model_run_id,
        operation_id=operation.claim.id,
        accepted=asked.accepted,
        data_rows=asked.data_rows,
    )
