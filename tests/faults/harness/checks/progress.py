"""Progress only rises within an execution, and never above the total."""

from collections.abc import Iterator

from tests.faults.harness.checks.base import Violation
from tests.faults.harness.database import Database
from tests.faults.harness.history import History


def rises(history: History, database: Database) -> Iterator[Violation]:
    del database
    done: dict[tuple[str, str], int] = {}
    for entry in history.frames():
        message, subscriber = entry["message"], entry["subscriber"]
        if message["type"] == "event" and message["event"]["data"].get("state") == "queued":
            done.pop((subscriber, message["event"]["subject"]["id"]), None)  # a retry begins with fewer
        if message["type"] != "progress":
            continue
        run = message.get("model_run_id") or message.get("preview_id")
        before = done.get((subscriber, run), 0)
        if message["done"] < before:
            yield Violation("progress_fell", run, f"{subscriber} was told {before}, then {message['done']}")
        if message["done"] > message["total"]:
            yield Violation("progress_beyond_total", run, f"{message['done']} of {message['total']}")
        done[subscriber, run] = message["done"]
