"""What every check uses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.faults.harness.database import Database, Row, Run

TERMINAL = frozenset({"completed", "completed_with_errors", "cancelled", "failed"})
DONE = frozenset({"completed", "completed_with_errors"})


@dataclass(frozen=True, slots=True)
class Violation:
    """`name` is stable; `of` is the run, stream or subscriber it is about."""

    name: str
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
