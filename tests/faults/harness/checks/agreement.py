"""Promises 3 and 5: what the log says of a run is what its row says, with one terminal event an execution, the last."""

from collections.abc import Iterator
from itertools import pairwise

from services.api.model_runs.transitions import MOVES
from tests.faults.harness.checks.base import TERMINAL, Violation, data_of, events_of, worked_on
from tests.faults.harness.checks.counters import stored_counts
from tests.faults.harness.database import Database
from tests.faults.harness.history import History


def states_and_events(history: History, database: Database) -> Iterator[Violation]:
    """Every move of the row has its event and the other way round."""
    del history
    for run in worked_on(database):
        states = [data_of(event)["state"] for event in events_of(database, run)]
        if not states:
            yield Violation("state_without_event", run.id, f"{run.state}, and no event at all")
            continue
        for before, after in pairwise(states):
            if before == after:
                yield Violation("event_without_state", run.id, f"{after} twice, with no move between")
            elif after not in MOVES[before] and before not in TERMINAL:
                yield Violation("state_without_event", run.id, f"{before}, then {after}: something came between")
        last = states[-1]
        if last == run.state:
            continue
        name = "state_without_event" if run.state in MOVES[last] else "event_without_state"
        yield Violation(name, run.id, f"the run is {run.state}, the log ends with {last}")


def one_terminal_event(history: History, database: Database) -> Iterator[Violation]:
    del history
    for run in worked_on(database):
        by_execution: dict[int, list[str]] = {}
        for event in events_of(database, run):
            data = data_of(event)
            by_execution.setdefault(data.get("execution", 1), []).append(data["state"])
        for execution, states in by_execution.items():
            ends = [state for state in states if state in TERMINAL]
            if len(ends) > 1:
                yield Violation("terminal_event_twice", run.id, f"execution {execution}: {', '.join(ends)}")
            elif ends and states[-1] != ends[0]:
                yield Violation("event_after_terminal", run.id, f"execution {execution}: {', '.join(states)}")
            elif not ends and (execution < run.execution or run.state in TERMINAL):
                yield Violation("terminal_event_missing", run.id, f"execution {execution}: {', '.join(states)}")


def terminal_counters(history: History, database: Database) -> Iterator[Violation]:
    """Those of the last execution; the rows of an earlier one have changed since."""
    del history
    for run in worked_on(database):
        right = {**stored_counts(run), "total": len(run.rows)}
        for event in events_of(database, run):
            data = data_of(event)
            if data["state"] in TERMINAL and data.get("execution", 1) == run.execution:
                said = {name: data[name] for name in right}
                if said != right:
                    yield Violation("terminal_counters_wrong", run.id, f"said {said}, stored {right}")


def notifications(history: History, database: Database) -> Iterator[Violation]:
    """What the project's log says of a run's end, the workspace's says too, once."""
    del history
    for run in worked_on(database):
        if run.row["purpose"] != "run":
            continue
        stream = database.streams[str(run.row["workspace_id"])]
        heard = [str(event["event_id"]) for event in stream.events if str(event["subject_id"]) == run.id]
        for event in events_of(database, run):
            if data_of(event)["state"] in TERMINAL and heard.count(str(event["event_id"])) != 1:
                yield Violation("notification_missing", run.id, f"offset {event['offset']}: {event['type']}")
