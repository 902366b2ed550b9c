"""Spliced frames are what the contract says, and the same bytes for all."""

import json
from typing import Any
from uuid import uuid4

import pytest

from services.notifier.frames import event_frame, progress_frame
from services.notifier.stream import Stream, Subscription
from services.notifier.topics import Topic, parse_topic
from shared.contracts.events import ProjectUpdated
from shared.contracts.messages import EventMessage, ProgressMessage
from shared.contracts.progress import Progress
from shared.database.event_log import Head, LoggedEvent, envelope
from tests.unit.notifier.doubles import IDENTITY, decoded, logged, new_client

_IDS = ["1", 'quoted "\\', "ü\u2028", "x" * 64]


@pytest.mark.parametrize("subscription_id", _IDS)
def test_an_event_frame_is_an_event_message(subscription_id: str) -> None:
    sealed = envelope(ProjectUpdated(workspace_id=uuid4(), project_id=uuid4(), revision=3), "service:test")
    event = LoggedEvent(131, sealed.id, sealed.type, "project", sealed.subject.id, sealed.model_dump_json())
    frame = event_frame(event, uuid4()).for_id(subscription_id)
    assert EventMessage.model_validate(decoded(frame)) == EventMessage(id=subscription_id, offset=131, event=sealed)


@pytest.mark.parametrize("subscription_id", _IDS)
def test_a_progress_frame_is_a_progress_message(subscription_id: str) -> None:
    run_id = uuid4()
    numbers: dict[str, Any] = {"done": 4, "total": 9, "failed": 1, "rows_per_second": 2.5, "eta_seconds": None}
    for purpose, name in (("run", "model_run_id"), ("preview", "preview_id")):
        told = {"workspace_id": uuid4(), "project_id": uuid4(), "model_run_id": run_id, "purpose": purpose}
        expected = ProgressMessage.model_validate({"id": subscription_id, name: run_id, **numbers})
        message = decoded(progress_frame(Progress.model_validate({**told, **numbers})).for_id(subscription_id))
        assert ProgressMessage.model_validate(message) == expected
        assert message == json.loads(expected.model_dump_json())
        assert message == {"type": "progress", "id": subscription_id, name: str(run_id), **numbers}


@pytest.mark.parametrize("size", [10, 200, 70_000])
def test_payloads_are_forwarded_byte_for_byte(size: int) -> None:
    payload = '{"data": ' + "1" * size + ', "π":1.50}'
    frame = event_frame(LoggedEvent(1, uuid4(), "future.thing", "star", uuid4(), payload), uuid4()).for_id("1")
    assert frame.endswith(f',"offset":1,"event":{payload}}}'.encode())


@pytest.mark.parametrize("payload", ['{"a":1}', '{"a":\n1,\r\n"b":\r"\u2028\x85"}'])
def test_a_block_has_the_payload_in_as_many_lines(payload: str) -> None:
    epoch = uuid4()
    written = event_frame(LoggedEvent(7, uuid4(), "future.thing", "star", uuid4(), payload), epoch).block()
    size, _, rest = written.partition(b"\r\n")
    body, end = rest[: int(size, 16)], rest[int(size, 16) :]
    assert (end, body[-2:]) == (b"\r\n", b"\n\n")
    first, *lines = body[:-2].decode().split("\n")
    assert first == f"id: {epoch}:7"
    assert all(line.startswith("data: ") for line in lines)
    assert json.loads("\n".join(line.removeprefix("data: ") for line in lines)) == json.loads(payload)


def test_two_subscribers_get_the_very_same_bytes() -> None:
    stream = Stream(uuid4())
    stream.start_at(Head(uuid4(), 1, 0))
    wires = []
    for _ in range(2):
        client, wire = new_client()
        wanted = parse_topic("notifications")
        subscription = Subscription(id="1", client=client, identity=IDENTITY, wanted=wanted)
        subscription.topic = Topic(stream.id, "all")
        stream.add(subscription, "all")
        assert stream.go_live(subscription)
        wires.append(wire)
    stream.deliver(logged(1))
    assert wires[0].written[0] is wires[1].written[0]
