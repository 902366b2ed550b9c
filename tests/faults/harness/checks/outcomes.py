"""Promise 1: in a completed execution every data row has exactly one outcome; elsewhere the others read `not_run`."""

from collections import Counter
from collections.abc import Iterator

from shared.contracts.events import TERMINAL_STATES
from tests.faults.harness.checks.base import DONE, Violation, some, worked_on
from tests.faults.harness.database import Database
from tests.faults.harness.history import History


def one_each(history: History, database: Database) -> Iterator[Violation]:
    del history
    for run in worked_on(database):
        counts = Counter(str(outcome["data_row_id"]) for outcome in run.outcomes)
        rows = run.rows
        if doubled := [row for row, count in counts.items() if count > 1]:
            yield Violation("doubled_outcome", run.id, some(doubled))
        if foreign := counts.keys() - set(rows):
            yield Violation("foreign_outcome", run.id, some(foreign))
        if len(rows) != len(set(rows)) or len(rows) != run.row["total"]:
            yield Violation("rows_cut_wrongly", run.id, f"{len(rows)} rows in segments, total {run.row['total']}")
        if run.state in DONE and (missing := set(rows) - counts.keys()):
            yield Violation("missing_outcome", run.id, some(missing))
        if run.state in TERMINAL_STATES and (open_ := [s for s in run.segments if s["state"] in ("open", "leased")]):
            yield Violation("segment_left_open", run.id, some(s["id"] for s in open_))


def told_as_stored(history: History, database: Database) -> Iterator[Violation]:
    """What `GET …/outcomes` said of a run that had ended."""
    stored = {run.id: {str(o["data_row_id"]): o["state"] for o in run.outcomes} for run in database.runs.values()}
    for answer in history.answers("GET", "/outcomes"):
        run = database.runs.get(answer["path"].split("/")[3])
        if run is None or run.state not in TERMINAL_STATES or run.row["finished_at"].timestamp() > answer["at"]:
            continue
        for item in answer["body"]["items"]:
            right = stored[run.id].get(item["data_row_id"], "not_run")
            if item["state"] != right:
                detail = f"{item['data_row_id']} was told to be {item['state']} and is {right}"
                yield Violation("outcome_told_wrongly", run.id, detail)
