"""What people may do with a run, by the state it is in. To add a verb: name it, and say where it is allowed.

How a run moves whoever moves it is in `services/api/model_runs/transitions.py`.
"""

from collections.abc import Mapping
from typing import Literal, get_args

from shared.contracts.event import RunPurpose, RunState

RunVerb = Literal["cancel", "pause", "resume", "retry_failed", "undo"]

OPEN: frozenset[RunState] = frozenset({"queued", "running", "stalled"})

VERBS: Mapping[RunVerb, frozenset[RunState]] = {
    "cancel": OPEN | {"paused"},
    "pause": OPEN,
    "resume": frozenset({"paused"}),
    "retry_failed": frozenset({"completed_with_errors", "failed"}),
    "undo": frozenset({"completed", "completed_with_errors", "cancelled", "failed"}),
}

_OF: Mapping[RunPurpose, frozenset[RunVerb]] = {
    "run": frozenset(get_args(RunVerb)),
    "preview": frozenset({"cancel"}),
    "import": frozenset({"cancel", "undo"}),
}
_NOT_WHEN_HIDDEN: frozenset[RunVerb] = frozenset({"retry_failed", "undo"})


def allowed_verbs(state: RunState, purpose: RunPurpose, *, hides_pending: bool) -> tuple[RunVerb, ...]:
    """Those that would change something now. `hides_pending`: it was undone, or cancelled with `discard`."""
    return tuple(
        verb
        for verb, states in VERBS.items()
        if state in states and verb in _OF[purpose] and not (hides_pending and verb in _NOT_WHEN_HIDDEN)
    )
