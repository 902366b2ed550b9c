"""Promises 6 and 10: who stores holds the lease, and nothing is stored once a run was cancelled, paused or has ended.

What the audit (`audit.py`) wrote down tells both; times of rows and events tell the second without it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from shared.contracts.events import TERMINAL_STATES
from tests.faults.harness.checks.base import Violation, ViolationName, data_of, events_of, some, worked_on
from tests.faults.harness.database import Database, Row
from tests.faults.harness.history import History


def proven(history: History, database: Database) -> Iterator[Violation]:
    """At each store the segment was leased, by the process that stored."""
    del history
    for run in worked_on(database):
        for store in run.stores:
            if store["segment_state"] != "leased" or not _same_process(store):
                detail = f"{store['process']} stored {store['rows']} rows of {store['segment_id']}, "
                detail += f"{store['segment_state']} by {store['holder']} at {store['at']}"
                yield Violation("late_commit", run.id, detail)


def nothing_after_the_end(history: History, database: Database) -> Iterator[Violation]:
    del history
    for run in worked_on(database):
        closed: tuple[str, datetime] | None = None
        spans: list[tuple[str, datetime, datetime | None]] = []
        for event in events_of(database, run):
            if closed is not None:
                spans.append((*closed, event["occurred_at"]))
                closed = None
            if (state := data_of(event)["state"]) in TERMINAL_STATES or state == "paused":
                closed = state, event["occurred_at"]
        if closed is not None:
            spans.append((*closed, None))
        for state, since, until in spans:
            late = [
                outcome["data_row_id"]
                for outcome in run.outcomes
                if outcome["created_at"] > since and (until is None or outcome["created_at"] < until)
            ]
            if late:
                yield Violation(_NAMES.get(state, "result_after_end"), run.id, f"after {since}: {some(late)}")


_NAMES: Mapping[str, ViolationName] = {"cancelled": "result_after_cancel", "paused": "result_after_pause"}


def _same_process(store: Row) -> bool:
    """True too where a name says no process."""
    _, slash, process = store["process"].partition("/")
    return not slash or str(store["holder"]).rpartition(":")[2] == process
