"""Deliberate defects, to show that the checker sees them. To add one: write its file, name it in `DEFECTS`."""

from collections.abc import Mapping

from tests.faults.defects import (
    acknowledged_before_commit,
    cancel_leaves_leases,
    conflict_ignored,
    counter_apart,
    event_apart,
    event_before_state,
    lease_unchecked,
    lost_batch_forgotten,
    offset_from_sequence,
    paired_wrongly,
    pause_leaves_leases,
    resume_skips_one,
    terminal_event_twice,
)
from tests.faults.defects.base import Defect

_WORKER, _API, _NOTIFIER = "inference-1", "api", "notifier"

DEFECTS: Mapping[str, Defect] = {
    "event_in_a_second_transaction": Defect(
        event_apart.apply, _WORKER, "killed_after_first_commit", ("state_without_event",)
    ),
    "event_committed_before_the_state": Defect(
        event_before_state.apply, _WORKER, "killed_before_commit", ("event_without_state",)
    ),
    "offset_from_a_sequence": Defect(offset_from_sequence.apply, _WORKER, "killed_before_commit", ("gap_in_stream",)),
    "counter_apart_from_the_rows": Defect(
        counter_apart.apply, _WORKER, "killed_after_third_commit", ("segment_counters_differ",)
    ),
    "conflict_ignored": Defect(
        conflict_ignored.apply, _WORKER, "killed_after_third_commit", ("segment_counters_differ", "ledger_differs")
    ),
    "lease_generation_not_checked": Defect(lease_unchecked.apply, _WORKER, "zombie", ("late_commit",)),
    "cancel_leaves_the_leases": Defect(
        cancel_leaves_leases.apply, _API, "paused_and_cancelled", ("result_after_cancel", "terminal_counters_wrong")
    ),
    "pause_leaves_the_leases": Defect(pause_leaves_leases.apply, _API, "paused_and_cancelled", ("result_after_pause",)),
    "lost_batch_forgotten": Defect(lost_batch_forgotten.apply, _WORKER, "model_away", ("missing_outcome",)),
    "terminal_event_twice": Defect(terminal_event_twice.apply, _WORKER, "undisturbed", ("terminal_event_twice",)),
    "paired_by_position": Defect(paired_wrongly.apply, _WORKER, "undisturbed", ("wrong_result",)),
    "resume_skips_an_offset": Defect(resume_skips_one.apply, _NOTIFIER, "torn_subscriber", ("event_missed",)),
    "acknowledged_before_commit": Defect(
        acknowledged_before_commit.apply, _API, "killed_after_answers", ("accepted_submit_lost", "accepted_import_lost")
    ),
}
