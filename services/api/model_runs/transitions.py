"""Which state of a run may follow which, and the refusal of a verb that its state does not allow."""

from collections.abc import Mapping

from shared.contracts.event import RunState
from shared.contracts.run_verbs import VERBS, RunVerb
from shared.database.tables import ModelRunRow
from shared.errors import Conflict
from shared.snapshots import verbs_of

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

_PAST: Mapping[RunVerb, str] = {
    "cancel": "cancelled",
    "pause": "paused",
    "resume": "resumed",
    "retry_failed": "tried again",
    "undo": "undone",
}


def check_verb(run: ModelRunRow, verb: RunVerb) -> None:
    """Raises Conflict with the run's state, the states that may follow it, and the verbs that are allowed."""
    present: RunState = run.state  # type: ignore[assignment]
    if present not in VERBS[verb]:
        raise Conflict(
            f"the run is {present} and cannot be {_PAST[verb]}",
            code="illegal_transition",
            extra={"state": present, "allowed": sorted(MOVES[present]), "allowed_verbs": list(verbs_of(run))},
        )


def check_has_model(run: ModelRunRow) -> None:
    if not run.configuration:
        detail = "predictions made elsewhere come as they are: no model works on them that could pause or try again"
        raise Conflict(detail, code="no_model")
