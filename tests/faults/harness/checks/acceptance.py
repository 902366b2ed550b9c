"""Promise 2: what was answered with a 2xx is there, once."""

from collections.abc import Iterator

from tests.faults.harness.checks.base import Violation, some
from tests.faults.harness.database import Database
from tests.faults.harness.history import History


def submits(history: History, database: Database) -> Iterator[Violation]:
    told = {answer["body"]["id"]: answer for answer in history.answers("POST", "/model-runs")}
    for run_id in told.keys() - database.runs.keys():
        yield Violation("accepted_submit_lost", run_id, f"told at {told[run_id]['at']}")
    # A frontend repeats a submit until it is answered, with one key: what nobody was told of is a second effect.
    projects = {answer["path"].split("/")[3] for answer in told.values()}
    for run in database.runs.values():
        if run.project_id in projects and run.row["purpose"] == "run" and run.id not in told:
            yield Violation("submit_doubled", run.id, f"of project {run.project_id}; nobody was told of it")


def imports(history: History, database: Database) -> Iterator[Violation]:
    for answer in history.answers("POST", "/data-rows"):
        accepted = [one for one in answer["body"]["results"] if one["status"] != "failed"]
        if lost := [one["id"] for one in accepted if one["id"] not in database.data_rows]:
            yield Violation("accepted_import_lost", answer["path"], some(lost))
        sent = {item["global_key"]: item.get("text") for item in (answer["sent"] or {}).get("items", ())}
        for one in accepted:
            stored = database.data_rows.get(one["id"])
            if stored and sent.get(one["global_key"]) and stored["text"] != sent[one["global_key"]]:
                yield Violation("import_changed", one["id"], f"{one['global_key']} holds another text than was sent")


def cancels(history: History, database: Database) -> Iterator[Violation]:
    for answer in history.answers("POST", "/cancel"):
        run = database.runs.get(answer["path"].split("/")[3])
        if run is not None and run.state != "cancelled":
            yield Violation("accepted_cancel_lost", run.id, f"it is {run.state}")


def no_internal_errors(history: History, database: Database) -> Iterator[Violation]:
    """While a part is away an answer may be a 503; a 500 is a bug."""
    del database
    for entry in history.entries:
        if entry["kind"] == "http" and entry["status"] == 500:
            yield Violation("internal_error_told", entry["path"], str(entry["body"])[:200])
