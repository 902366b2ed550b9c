"""What people said of audits, and the rule that stops a policy."""

from sqlalchemy import func, select

from services.api.auto_accept import queries
from services.api.auto_accept.guard import Guard
from services.api.auto_accept.queries import Window
from shared.contracts.policy_events import PolicyStopped
from shared.database.tables import DataRowRow, PolicyRow
from shared.database.unit_of_work import UnitOfWork


def guard_of(policy: PolicyRow) -> Guard:
    return Guard(policy.target_precision, policy.confidence, policy.window_audits)


async def note_audits(work: UnitOfWork, data_row: DataRowRow) -> None:
    """After every decision of a person about a data row, in its transaction: stops the policies that must stop.

    Policies are held one decision after another, so that none passes a look by being judged twice at once.
    """
    for policy in await queries.lock_active_policies_of(work.session, data_row.workspace_id, data_row.id):
        await queries.note_verdicts(work.session, policy, data_row.id)
        window = await queries.look_at_window(work.session, policy)
        guard = guard_of(policy)
        if guard.stops(window.wrong):
            await _stop(work, policy, guard, window)


async def _stop(work: UnitOfWork, policy: PolicyRow, guard: Guard, window: Window) -> None:
    policy.state = "stopped"
    policy.state_reason = (
        f"{window.wrong} of the last {window.judged} audits were wrong; with {guard.window} audits at most "
        f"{guard.allowed} may be, for a precision of {guard.target:g} with confidence {guard.confidence:g}"
    )
    policy.ended_at = (await work.session.execute(select(func.clock_timestamp()))).scalar_one()
    work.emit(
        PolicyStopped(
            workspace_id=policy.workspace_id,
            project_id=policy.project_id,
            policy_id=policy.id,
            name=policy.name,
            reason=policy.state_reason,
            audits=window.judged,
            wrong=window.wrong,
        )
    )
