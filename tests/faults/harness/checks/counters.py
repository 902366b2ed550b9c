"""Promise 3, for counters: they say what the rows say, since both commit together."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from shared.contracts.events import TERMINAL_STATES
from tests.faults.harness.checks.base import Violation, some, worked_on
from tests.faults.harness.database import Database, Run
from tests.faults.harness.history import History

_STATES = ("succeeded", "failed", "skipped")

Counts = dict[str, int]


def of_segments(history: History, database: Database) -> Iterator[Violation]:
    del history
    for run in worked_on(database):
        found: dict[Any, Counter[str]] = {}
        for outcome in run.outcomes:
            of = found.setdefault(outcome["segment_id"], Counter())
            of[outcome["state"]] += 1
            of["detections"] += outcome["detections"]
        for segment in run.segments:
            # A retry gives failed rows another outcome, which belongs to a segment of its own.
            names = [*_STATES, "detections"] if segment["execution"] == run.execution else ["succeeded"]
            counted = {name: segment[name] for name in names}
            stored = {name: found.get(segment["id"], Counter())[name] for name in names}
            if counted != stored:
                yield Violation("segment_counters_differ", run.id, f"{segment['id']}: {counted}, stored {stored}")


def of_runs(history: History, database: Database) -> Iterator[Violation]:
    del history
    for run in worked_on(database):
        if run.state in TERMINAL_STATES and _counted(run) != stored_counts(run):
            yield Violation("run_counters_differ", run.id, f"{_counted(run)}, stored {stored_counts(run)}")


def of_detections(history: History, database: Database) -> Iterator[Violation]:
    del history
    for run in worked_on(database):
        found = Counter(str(detection["data_row_id"]) for detection in run.detections)
        said = {str(outcome["data_row_id"]): outcome["detections"] for outcome in run.outcomes}
        if orphans := found.keys() - said.keys():
            yield Violation("detection_without_outcome", run.id, some(orphans))
        if wrong := [row for row, count in said.items() if count != found[row]]:
            yield Violation("detections_differ", run.id, some(wrong))


def of_ledger(history: History, database: Database) -> Iterator[Violation]:
    """Per class: raw = shown + dropped; and as many are shown as the rows' projections say."""
    del history
    for run in worked_on(database):
        version = run.row["alignment_version"]
        raw = Counter(detection["model_class"] for detection in run.detections)
        counted: Counter[str] = Counter()
        shown = 0
        for entry in run.ledger:
            if entry["alignment_version"] == version:
                counted[entry["model_class"]] += entry["count"]
                shown += entry["count"] if entry["reason"] == "shown" else 0
        if +raw != +counted:
            yield Violation("ledger_differs", run.id, f"ledger {dict(counted)}, detections {dict(raw)}")
        projected = sum(one["shown"] for one in run.projections if one["alignment_version"] == version)
        if projected != shown:
            yield Violation("projections_differ", run.id, f"ledger shows {shown}, projections {projected}")


def stored_counts(run: Run) -> Counts:
    states = Counter(outcome["state"] for outcome in run.outcomes)
    return {**{name: states[name] for name in _STATES}, "detections": sum(o["detections"] for o in run.outcomes)}


def _counted(run: Run) -> Counts:
    return {name: run.row[name] for name in (*_STATES, "detections")}
