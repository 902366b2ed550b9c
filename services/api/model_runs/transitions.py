"""Which state of a run may follow which."""

from collections.abc import Mapping

from shared.contracts.event import RunState
from shared.errors import Conflict

MOVES: Mapping[RunState, frozenset[RunState]] = {
    "queued": frozenset({"running", "paused", "cancelled", "failed"}),
    "running": frozenset({"stalled", "paused", "completed", "completed_with_errors", "cancelled", "failed"}),
    "stalled": frozenset({"running", "paused", "completed", "completed_with_errors", "cancelled", "failed"}),
    "paused": frozenset({"queued", "cancelled"}),
    "completed": frozenset(),
    "completed_with_errors": frozenset({"queued"}),
    "cancelled": frozenset(),
    "failed": frozenset({"queued"}),
}


def check_move(present: RunState, wanted: RunState) -> None:
    if wanted not in MOVES[present]:
        allowed = sorted(MOVES[present])
        raise Conflict(
            f"the run is {present} and cannot become {wanted}",
            code="illegal_transition",
            extra={"state": present, "allowed": allowed},
        )
