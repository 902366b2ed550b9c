"""Progress only rises within an execution, never above the total; the terminal event is the last word, and exact."""

from collections import defaultdict
from collections.abc import Iterator

from shared.contracts.events import TERMINAL_STATES
from tests.faults.harness.checks.base import Violation
from tests.faults.harness.database import Database
from tests.faults.harness.history import Entry, History

_A_SECOND = 5
_LATE_SECONDS = 3.0
"""How much later a busy machine may hear one message than another."""


def rises(history: History, database: Database) -> Iterator[Violation]:
    del database
    done: dict[tuple[str, str], int] = {}
    for entry in history.frames():
        message, subscriber = entry["message"], entry["subscriber"]
        if message["type"] == "event" and message["event"]["data"].get("state") == "queued":
            done.pop((subscriber, message["event"]["subject"]["id"]), None)  # a retry begins with fewer
        if message["type"] == "subscribed" and "done" in message.get("snapshot", {}):
            done[subscriber, message["snapshot"]["id"]] = message["snapshot"]["done"]
        if message["type"] != "progress":
            continue
        run = _run_of(entry)
        before = done.get((subscriber, run), 0)
        if message["done"] < before:
            yield Violation("progress_fell", run, f"{subscriber} was told {before}, then {message['done']}")
        if message["done"] > message["total"]:
            yield Violation("progress_beyond_total", run, f"{message['done']} of {message['total']}")
        done[subscriber, run] = message["done"]


def ends(history: History, database: Database) -> Iterator[Violation]:
    """With the terminal event, until the run is tried again."""
    del database
    ended: set[tuple[str, str]] = set()
    for entry in history.frames():
        message, subscriber = entry["message"], entry["subscriber"]
        if message["type"] == "event":
            event = message["event"]
            about, state = (subscriber, event["subject"]["id"]), event["data"].get("state")
            if state in TERMINAL_STATES:
                ended.add(about)
            elif state is not None:
                ended.discard(about)
        elif message["type"] == "progress" and (subscriber, _run_of(entry)) in ended:
            yield Violation("progress_after_end", _run_of(entry), f"{subscriber} was told {message['done']}")


def not_too_often(history: History, database: Database) -> Iterator[Violation]:
    del database
    told: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for entry in history.frames():
        if entry["message"]["type"] == "progress":
            told[entry["subscriber"], _run_of(entry)].append(entry["at"])
    for (subscriber, run), times in told.items():
        seconds = times[-1] - times[0] + _LATE_SECONDS
        if len(times) - 1 > _A_SECOND * seconds:
            yield Violation("progress_too_often", run, f"{subscriber}: {len(times)} in {times[-1] - times[0]:.1f} s")


def _run_of(entry: Entry) -> str:
    message = entry["message"]
    return str(message.get("model_run_id") or message.get("preview_id"))
