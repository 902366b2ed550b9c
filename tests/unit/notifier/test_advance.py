"""Progress that would fall, or that comes after the end, is told to nobody."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.notifier.advance import Advance
from services.notifier.hub import Hub
from services.notifier.stream import Subscription
from services.notifier.topics import NotificationsTopic, Topic
from shared.contracts.progress import Progress
from shared.contracts.resources import ModelRun
from shared.database.event_log import Head, LoggedEvent
from tests.unit.notifier.doubles import IDENTITY, new_client

_RUN = uuid4()


def _progress(done: int, execution: int = 1, run_id: UUID = _RUN, project_id: UUID | None = None) -> Progress:
    return Progress(
        workspace_id=uuid4(),
        project_id=project_id or uuid4(),
        model_run_id=run_id,
        execution=execution,
        done=done,
        total=100,
        failed=0,
        rows_per_second=None,
        eta_seconds=None,
    )


def _event(type_: str, offset: int = 1, **data: object) -> LoggedEvent:
    return LoggedEvent(offset, uuid4(), type_, "model_run", _RUN, json.dumps({"type": type_, "data": data}))


def _snapshot(state: str) -> ModelRun:
    fields: dict[str, Any] = {"id": _RUN, "execution": 1, "done": 50, "state": state}
    return ModelRun.model_construct(**fields)


def test_an_older_count_is_not_told_and_the_same_is() -> None:
    advance = Advance()
    assert [advance.rises(_progress(done)) for done in (3, 7, 5, 7, 8)] == [True, True, False, True, True]
    assert advance.rises(_progress(1, run_id=uuid4()))


@pytest.mark.parametrize("state", ["completed", "completed_with_errors", "cancelled", "failed"])
def test_nothing_follows_the_end_but_another_execution(state: str) -> None:
    advance = Advance()
    advance.hear(_event(f"model_run.{state}", execution=1))
    assert [advance.rises(_progress(done)) for done in (99, 100)] == [False, False]
    assert advance.rises(_progress(40, execution=2))
    assert not advance.rises(_progress(100, execution=1))
    advance.hear(_event(f"model_run.{state}", execution=1))
    assert advance.rises(_progress(40, execution=2)), "an end that is read once more ends nothing newer"


def test_other_events_end_nothing_and_odd_ones_break_nothing() -> None:
    advance = Advance()
    for event in (_event("model_run.paused", execution=1), _event("future.completed"), _event("model_run.completed")):
        advance.hear(event)
    assert not advance.rises(_progress(1)), "without an execution it is the first"
    assert advance.rises(_progress(1, run_id=uuid4()))


def test_a_snapshot_is_told_too() -> None:
    advance = Advance()
    advance.see(None)
    advance.see(_snapshot("running"))
    assert [advance.rises(_progress(done)) for done in (49, 50)] == [False, True]
    advance.see(_snapshot("cancelled"))
    assert not advance.rises(_progress(60))


def test_what_is_remembered_is_bounded_and_the_latest_stays() -> None:
    advance = Advance()
    for _ in range(1_500):
        advance.rises(_progress(1, run_id=uuid4()))
        advance.rises(_progress(9))
    assert not advance.rises(_progress(8))
    assert len(advance._runs) == 1_000


def test_a_follower_hears_neither_a_fall_nor_anything_after_the_end() -> None:
    hub, project_id = Hub(), uuid4()
    client, wire = new_client()
    subscription = Subscription(id="1", client=client, identity=IDENTITY, wanted=NotificationsTopic())
    stream = hub.join(subscription, Topic(project_id, "all"))
    stream.start_at(Head(uuid4(), 1, 0))
    assert stream.go_live(subscription)
    for done in (2, 6, 4):
        hub.progress(_progress(done, project_id=project_id))
    stream.deliver(_event("model_run.completed", execution=1))
    hub.progress(_progress(9, project_id=project_id))
    assert [message.get("done", message["type"]) for message in wire.messages] == [2, 6, "event"]
