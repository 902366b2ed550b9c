"""Every check of the checker sees what it is for: a clean round is kept, changed in one place, and judged again."""

from collections.abc import AsyncIterator, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, get_args

import pytest
import pytest_asyncio

from tests.faults.defects import DEFECTS
from tests.faults.harness.checker import check
from tests.faults.harness.checks.base import ViolationName
from tests.faults.harness.database import Database, Run, Stream, read_database
from tests.faults.harness.history import Entry, History
from tests.faults.harness.world import World
from tests.faults.scenarios import SCENARIOS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


@dataclass
class Kept:
    """What a round left, to be changed at will."""

    entries: list[Entry]
    streams: dict[str, Stream]
    runs: dict[str, Run]
    data_rows: dict[str, Any]

    @property
    def run(self) -> Run:
        (found,) = self.runs.values()
        return found

    @property
    def log(self) -> list[Any]:
        return list(self.streams[self.run.project_id].events)

    def change_run(self, **changed: Any) -> None:
        self.runs[self.run.id] = replace(self.run, **changed)

    def change_row(self, **changed: Any) -> None:
        self.change_run(row={**self.run.row, **changed})

    def change_log(self, events: list[Any], stream: str | None = None) -> None:
        """With offsets as they are, or anew where there are more or fewer events."""
        of = stream or self.run.project_id
        if len(events) != len(self.streams[of].events):
            events = [{**event, "offset": offset} for offset, event in enumerate(events, 1)]
        self.streams[of] = replace(self.streams[of], events=events, last_offset=len(events))

    def frames(self, kind: str, subscriber: str = "a") -> list[Entry]:
        frames = [entry for entry in self.entries if entry["kind"] == "frame" and entry["subscriber"] == subscriber]
        return [frame for frame in frames if frame["message"]["type"] == kind]

    def answer(self, ending: str) -> Entry:
        return next(e for e in self.entries if e["kind"] == "http" and e["path"].endswith(ending) and e["status"] < 300)


def _first_outcome(kept: Kept, **changed: Any) -> None:
    kept.change_run(outcomes=[{**kept.run.outcomes[0], **changed}, *kept.run.outcomes[1:]])


def _last_event(kept: Kept, **changed: Any) -> None:
    *before, last = kept.log
    payload = {**last["payload"], "data": {**last["payload"]["data"], **changed}}
    kept.change_log([*before, {**last, "payload": payload}])


def _workspace_log_without_the_run(kept: Kept) -> None:
    workspace = str(kept.run.row["workspace_id"])
    events = [event for event in kept.streams[workspace].events if str(event["subject_id"]) != kept.run.id]
    kept.change_log(events, workspace)


def _end_event_again(kept: Kept) -> None:
    kept.change_log([*kept.log, kept.log[-1]])


def _pause_before_the_results(kept: Kept) -> None:
    first = min(outcome["created_at"] for outcome in kept.run.outcomes)
    payload = deepcopy(kept.log[-1]["payload"])
    payload["data"]["state"] = "paused"
    before, after = kept.log[:-1], kept.log[-1:]
    paused = {**kept.log[-1], "payload": payload, "occurred_at": first - timedelta(seconds=1)}
    kept.change_log([*before, paused, *after])


def _progress_falls(kept: Kept) -> None:
    told = {"type": "progress", "model_run_id": kept.run.id, "total": 64, "failed": 0}
    frame = kept.frames("event")[0]
    kept.entries += [{**frame, "message": {**told, "done": done}} for done in (16, 8)]


def _progress_beyond_total(kept: Kept) -> None:
    told = {"type": "progress", "model_run_id": kept.run.id, "total": 64, "failed": 0}
    kept.entries.append({**kept.frames("event")[0], "message": {**told, "done": 65}})


def _progress_after_end(kept: Kept) -> None:
    told = {"type": "progress", "model_run_id": kept.run.id, "total": 64, "failed": 0, "done": 64}
    kept.entries.append({**kept.frames("event")[-1], "message": told})


def _progress_too_often(kept: Kept) -> None:
    told = {"type": "progress", "model_run_id": kept.run.id, "total": 64, "failed": 0, "done": 64}
    frame = kept.frames("event")[0]
    kept.entries += [{**frame, "at": 0.1 * number, "message": told} for number in range(100)]


def _resumed_elsewhere(kept: Kept) -> None:
    frame = kept.frames("subscribed")[0]
    kept.entries.append({**frame, "message": {**frame["message"], "recovered": True, "offset": 1000}})


def _cancel_accepted(kept: Kept) -> None:
    kept.entries.append({**kept.answer("/model-runs"), "path": f"/v1/model-runs/{kept.run.id}/cancel", "status": 200})


def _running_after_the_end(kept: Kept) -> None:
    payload = deepcopy(kept.log[-1]["payload"])
    payload["data"]["state"] = "running"
    kept.change_log([*kept.log, {**kept.log[-1], "payload": payload}])


TAMPERINGS: Mapping[str, Callable[[Kept], None]] = {
    "doubled_outcome": lambda kept: kept.change_run(outcomes=[*kept.run.outcomes, kept.run.outcomes[0]]),
    "missing_outcome": lambda kept: kept.change_run(outcomes=kept.run.outcomes[1:]),
    "foreign_outcome": lambda kept: _first_outcome(kept, data_row_id=kept.run.project_id),
    "segment_left_open": lambda kept: kept.change_run(segments=[{**s, "state": "leased"} for s in kept.run.segments]),
    "rows_cut_wrongly": lambda kept: kept.change_row(total=1),
    "outcome_told_wrongly": lambda kept: kept.answer("/outcomes")["body"]["items"][0].update(state="pending"),
    "accepted_submit_lost": lambda kept: kept.answer("/model-runs")["body"].update(id=kept.run.project_id),
    "submit_doubled": lambda kept: kept.runs.update(twin=replace(kept.run, id="twin")),
    "accepted_cancel_lost": _cancel_accepted,
    "accepted_import_lost": lambda kept: kept.data_rows.popitem() and None,
    "import_changed": lambda kept: next(iter(kept.data_rows.values())).update(text="another"),
    "internal_error_told": lambda kept: kept.answer("/model-runs").update(status=500),
    "segment_counters_differ": lambda kept: _first_outcome(kept, state="failed"),
    "run_counters_differ": lambda kept: kept.change_row(succeeded=1),
    "detections_differ": lambda kept: kept.change_run(detections=kept.run.detections[1:]),
    "detection_without_outcome": lambda kept: kept.change_run(outcomes=kept.run.outcomes[1:]),
    "ledger_differs": lambda kept: kept.change_run(ledger=kept.run.ledger[1:]),
    "projections_differ": lambda kept: kept.change_run(projections=kept.run.projections[1:]),
    "gap_in_stream": lambda kept: kept.change_log([*kept.log[:-1], {**kept.log[-1], "offset": 1000}]),
    "event_logged_twice": _end_event_again,
    "event_missed": lambda kept: kept.entries.remove(kept.frames("event")[-1]),
    "event_doubled": lambda kept: kept.entries.append(kept.frames("event")[0]),
    "event_differs": lambda kept: kept.frames("event")[-1]["message"]["event"].update(actor="somebody"),
    "event_not_in_log": lambda kept: kept.frames("event")[-1]["message"].update(offset=1000),
    "refetch_without_reason": lambda kept: kept.entries.append(kept.frames("subscribed")[0]),
    "resumed_elsewhere": _resumed_elsewhere,
    "snapshot_differs": lambda kept: kept.frames("subscribed", "run")[0]["message"]["snapshot"].update(state="paused"),
    "state_without_event": lambda kept: kept.change_log(kept.log[:-1]),
    "event_without_state": lambda kept: kept.change_run(state="running"),
    "terminal_event_missing": lambda kept: kept.change_log(kept.log[:-1]),
    "terminal_event_twice": _end_event_again,
    "event_after_terminal": _running_after_the_end,
    "terminal_counters_wrong": lambda kept: _last_event(kept, succeeded=1),
    "notification_missing": _workspace_log_without_the_run,
    "late_commit": lambda kept: kept.change_run(stores=[{**s, "holder": "another:1"} for s in kept.run.stores]),
    "result_after_end": lambda kept: _first_outcome(
        kept, created_at=kept.run.outcomes[0]["created_at"] + timedelta(hours=1)
    ),
    "result_after_pause": _pause_before_the_results,
    "progress_after_end": _progress_after_end,
    "progress_fell": _progress_falls,
    "progress_too_often": _progress_too_often,
    "progress_beyond_total": _progress_beyond_total,
    "wrong_result": lambda kept: kept.change_run(
        detections=[{**one, "model_class": "even"} for one in kept.run.detections]
    ),
}
"""By the violation that must be seen."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clean(fault_world: World) -> AsyncIterator[tuple[History, Database]]:
    async with fault_world.round("to-be-changed") as told:
        await SCENARIOS["undisturbed"](fault_world, told, fault_world.start)
        assert await told.violations() == []
        yield told.history, await read_database(fault_world.database_url, told.workspace_id)


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_a_change_is_seen_by_name(clean: tuple[History, Database], name: str) -> None:
    history, database = deepcopy(clean[0].entries), deepcopy(clean[1])
    kept = Kept(history, dict(database.streams), dict(database.runs), dict(database.data_rows))
    TAMPERINGS[name](kept)
    found = check(
        _Told(kept.entries), replace(database, streams=kept.streams, runs=kept.runs, data_rows=kept.data_rows)
    )
    assert name in {violation.name for violation in found}


async def test_every_violation_has_been_seen() -> None:
    by_defects = {name for defect in DEFECTS.values() for name in defect.seen_as}
    assert TAMPERINGS.keys() | by_defects == set(get_args(ViolationName))


class _Told(History):
    """Without a file."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
