"""Promises 3 and 5: what the log says of a run is what its row says, with one terminal event an execution, the last."""

from collections.abc import Iterator
from itertools import pairwise
from math import inf

from services.api.model_runs.transitions import MOVES
from shared.contracts.events import TERMINAL_STATES
from tests.faults.harness.checks.base import Violation, ViolationName, data_of, events_of, worked_on
from tests.faults.harness.checks.counters import stored_counts
from tests.faults.harness.database import Database
from tests.faults.harness.history import History


def states_and_events(history: History, database: Database) -> Iterator[Violation]:
    """Every move of the row has its event and the other way round."""
    del history
    for run in worked_on(database):
        told = [data_of(event) for event in events_of(database, run)]
        states = [data["state"] for data in told]
        if not states:
            yield Violation("state_without_event", run.id, f"{run.state}, and no event at all")
            continue
        for before, after in pairwise(states):
            if before == after:
                yield Violation("event_without_state", run.id, f"{after} twice, with no move between")
            elif after not in MOVES[before] and before not in TERMINAL_STATES:
                yield Violation("state_without_event", run.id, f"{before}, then {after}: something came between")
        execution, last = told[-1].get("execution", 1), states[-1]
        if (execution, last) == (run.execution, run.state):
            continue
        event_is_ahead = (execution, _moves(run.state, last)) > (run.execution, _moves(last, run.state))
        name: ViolationName = "event_without_state" if event_is_ahead else "state_without_event"
        yield Violation(name, run.id, f"the run is {run.state}, the log ends with {last}")


def _moves(before: str, after: str) -> float:
    """The more of them lie between, the less likely it is that this was the way: as a negative number."""
    states: set[str] = {before}
    for count in range(len(MOVES)):
        if after in states:
            return -count
        states |= {to for state in states - TERMINAL_STATES for to in MOVES[state]}  # type: ignore[index]
    return -inf


def one_terminal_event(history: History, database: Database) -> Iterator[Violation]:
    del history
    for run in worked_on(database):
        by_execution: dict[int, list[str]] = {}
        for event in events_of(database, run):
            data = data_of(event)
            by_execution.setdefault(data.get("execution", 1), []).append(data["state"])
        for execution, states in by_execution.items():
            ends = [state for state in states if state in TERMINAL_STATES]
            if len(ends) > 1:
                yield Violation("terminal_event_twice", run.id, f"execution {execution}: {', '.join(ends)}")
            elif ends and states[-1] != ends[0]:
                yield Violation("event_after_terminal", run.id, f"execution {execution}: {', '.join(states)}")
            elif not ends and (execution < run.execution or run.state in TERMINAL_STATES):
                yield Violation("terminal_event_missing", run.id, f"execution {execution}: {', '.join(states)}")


def terminal_counters(history: History, database: Database) -> Iterator[Violation]:
    """Those of the last execution; the rows of an earlier one have changed since."""
    del history
    for run in worked_on(database):
        right = {**stored_counts(run), "total": len(run.rows)}
        for event in events_of(database, run):
            data = data_of(event)
            if data["state"] in TERMINAL_STATES and data.get("execution", 1) == run.execution:
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
            if data_of(event)["state"] in TERMINAL_STATES and heard.count(str(event["event_id"])) != 1:
                yield Violation("notification_missing", run.id, f"offset {event['offset']}: {event['type']}")
