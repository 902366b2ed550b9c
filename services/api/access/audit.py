"""The audit log: who changed who may act, and who outside is told. Rows are only added, with what they tell of."""

from uuid import UUID

from services.api.access.principal import Principal
from shared.database.tables import AuditRow
from shared.database.unit_of_work import UnitOfWork


def audit(work: UnitOfWork, principal: Principal, action: str, subject_id: UUID, **detail: object) -> None:
    """`action` is `kind.verb`. Secrets, and URLs that may hold some, are no detail."""
    work.session.add(
        AuditRow(
            workspace_id=principal.workspace_id,
            actor=principal.actor,
            action=action,
            subject_kind=action.partition(".")[0],
            subject_id=subject_id,
            detail=detail,
        )
    )
