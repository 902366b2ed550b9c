"""Operations: watch and cancel. Requests of other features add them, workers run them."""

from collections.abc import Mapping
from uuid import UUID

from services.api.access.principal import Principal
from services.api.operations import queries
from shared.contracts.operations import OperationState
from shared.database.operations import end_operation
from shared.database.tables import OperationRow
from shared.database.unit_of_work import UnitOfWork
from shared.errors import Conflict

MOVES: Mapping[OperationState, frozenset[OperationState]] = {
    "queued": frozenset({"running", "cancelled"}),
    "running": frozenset({"queued", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}


async def cancel_operation(work: UnitOfWork, principal: Principal, operation_id: UUID) -> OperationRow:
    """What its steps have committed stays. Raises Conflict for one that has ended."""
    row = await queries.lock_operation(work.session, principal.workspace_id, operation_id)
    present: OperationState = row.state  # type: ignore[assignment]
    if "cancelled" not in MOVES[present]:
        raise Conflict(
            f"the operation has {present} and cannot become cancelled"
            if present != "cancelled"
            else "the operation is cancelled already",
            code="illegal_transition",
            extra={"state": present, "allowed": sorted(MOVES[present])},
        )
    await end_operation(work, row, "cancelled")
    return row
