"""What happens to policies. They are named in `EVENTS` like all others.

Nothing in them says which pre-labels a policy left to people, nor from which confidence on it accepts.
"""

from uuid import UUID

from shared.contracts.event import ProjectEvent


class PolicyEvent(ProjectEvent):
    subject_kind = "policy"

    policy_id: UUID


class PolicyApplied(PolicyEvent):
    """A policy has gone over a run, to its end or to where it was stopped; all it accepted is `operation_id`'s."""

    type = "policy.applied"

    model_run_id: UUID
    operation_id: UUID
    accepted: int
    data_rows: int


class PolicyStopped(PolicyEvent):
    """Too many of the last `audits` were wrong. It accepts nothing more; what it accepted stays until it is undone."""

    type = "policy.stopped"
    notifies = True

    name: str
    reason: str
    audits: int
    wrong: int
