"""What every check uses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tests.faults.harness.database import Database, Row, Run

ViolationName = Literal[
    "accepted_cancel_lost",
    "accepted_import_lost",
    "accepted_submit_lost",
    "detection_without_outcome",
    "detections_differ",
    "doubled_outcome",
    "event_after_terminal",
    "event_differs",
    "event_doubled",
    "event_logged_twice",
    "event_missed",
    "event_not_in_log",
    "event_without_state",
    "foreign_outcome",
    "gap_in_stream",
    "import_changed",
    "internal_error_told",
    "late_commit",
    "ledger_differs",
    "missing_outcome",
    "notification_missing",
    "outcome_told_wrongly",
    "progress_after_end",
    "progress_beyond_total",
    "progress_fell",
    "progress_too_often",
    "projections_differ",
    "refetch_without_reason",
    "result_after_cancel",
    "result_after_end",
    "result_after_pause",
    "resumed_elsewhere",
    "rows_cut_wrongly",
    "run_counters_differ",
    "segment_counters_differ",
    "segment_left_open",
    "snapshot_differs",
    "state_without_event",
    "submit_doubled",
    "terminal_counters_wrong",
    "terminal_event_missing",
    "terminal_event_twice",
    "wrong_result",
]
"""To add one: name it here, and show in `tests/faults/test_checker.py` or by a defect that it is seen."""

DONE = frozenset({"completed", "completed_with_errors"})


@dataclass(frozen=True, slots=True)
class Violation:
    """`of` is the run, stream or subscriber it is about."""

    name: ViolationName
    of: str
    detail: str


def events_of(database: Database, run: Run) -> Iterator[Row]:
    """Of the run's project's log, in order: the moves of the run."""
    stream = database.streams.get(run.project_id)
    for event in stream.events if stream else ():
        is_move = "state" in event["payload"]["data"] and not event["type"].endswith(".realigned")
        if is_move and str(event["subject_id"]) == run.id:
            yield event


def data_of(event: Row) -> dict[str, Any]:
    found: dict[str, Any] = event["payload"]["data"]
    return found


def worked_on(database: Database) -> Iterator[Run]:
    """Runs and previews: what workers serve. Imports have another writer."""
    return (run for run in database.runs.values() if run.row["purpose"] != "import")


def some(ids: object, most: int = 3) -> str:
    found = sorted(map(str, ids))  # type: ignore[call-overload]
    return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
