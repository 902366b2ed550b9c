"""Every event keeps its contract from the day it is named in `EVENTS`."""

import json
import re
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.contracts.envelope import Envelope
from shared.contracts.event import Event, ProjectEvent, RunState, SubjectKind
from shared.contracts.events import EVENTS, NOTIFYING_TYPES, TERMINAL_STATES, ModelRunEvent, OperationEvent
from shared.database.event_log import envelope
from shared.database.run_events import PREVIEW_EVENTS, RUN_EVENTS
from shared.ids import new_id

ALL = pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))


def sample(event: type[Event]) -> Event:
    """One of it, with a value for every field by its type."""
    return event(**{name: _value(field.annotation) for name, field in event.model_fields.items()})


def _value(annotation: Any) -> Any:
    if typing.get_origin(annotation) is typing.Literal:
        return get_args(annotation)[0]
    if annotation is UUID:
        return new_id()
    if annotation == UUID | None:
        return None
    return {int: 3, str: "words", str | None: "a reason"}[annotation]


def _subclasses(of: type[Event]) -> Iterator[type[Event]]:
    for event in of.__subclasses__():
        yield event
        yield from _subclasses(event)


def test_every_event_is_named() -> None:
    written = {event for event in _subclasses(Event) if "type" in event.__dict__}
    assert written == set(EVENTS)


def test_types_are_unique() -> None:
    assert len({event.type for event in EVENTS}) == len(EVENTS)


@ALL
def test_type_version_and_subject(event: type[Event]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", event.type)
    assert event.version >= 1
    assert event.subject_kind in get_args(SubjectKind)
    one = sample(event)
    assert one.subject_id() == getattr(one, f"{event.subject_kind}_id")


@ALL
def test_envelope_and_back(event: type[Event]) -> None:
    one = sample(event)
    sealed = envelope(one, "member:1")
    read = Envelope.model_validate_json(sealed.model_dump_json())
    assert read == sealed
    assert (read.type, read.version, read.actor) == (event.type, event.version, "member:1")
    assert (read.subject.kind, read.subject.id) == (event.subject_kind, one.subject_id())
    assert event.model_validate(read.data) == one
    assert read.occurred_at.tzinfo is not None
    assert abs(datetime.now(UTC) - read.occurred_at).total_seconds() < 10
    assert UUID(str(read.id)).version == 7


@ALL
def test_written_strictly(event: type[Event]) -> None:
    fields = sample(event).model_dump()
    with pytest.raises(ValidationError):
        event.model_validate({**fields, "surprise": 1})
    for name, field in event.model_fields.items():
        if field.is_required():
            with pytest.raises(ValidationError):
                event(**{key: value for key, value in fields.items() if key != name})


@ALL
def test_read_leniently(event: type[Event]) -> None:
    sealed = json.loads(envelope(sample(event), "service:x").model_dump_json())
    later = {**sealed, "type": "model_run.reconsidered", "since": 2, "data": {**sealed["data"], "more": [1]}}
    assert Envelope.model_validate(later).data["more"] == [1]


@ALL
def test_what_it_tells_is_small(event: type[Event]) -> None:
    assert len(envelope(sample(event), "service:inference").model_dump_json()) < 2000


def test_every_state_of_a_run_has_its_event() -> None:
    assert set(RUN_EVENTS) == set(get_args(RunState))
    assert set(RUN_EVENTS.values()) <= set(EVENTS)
    assert {RUN_EVENTS[state] for state in TERMINAL_STATES} <= {event for event in EVENTS if event.notifies}


def test_previews_do_not_notify_and_are_no_runs() -> None:
    assert set(PREVIEW_EVENTS) == set(get_args(RunState)) - {"paused"}
    of_a_preview = {event for event in EVENTS if event.subject_kind == "preview"}
    assert set(PREVIEW_EVENTS.values()) <= of_a_preview
    assert not any(event.notifies for event in of_a_preview)
    assert all(event.type.startswith("preview.") and "model_run_id" not in event.model_fields for event in of_a_preview)


def test_events_of_a_run_say_the_same() -> None:
    of_a_run = [event for event in EVENTS if issubclass(event, ModelRunEvent)]
    assert len({frozenset(event.model_fields) for event in of_a_run}) == 1
    assert all(event.type.startswith("model_run.") for event in of_a_run)


def test_notifications_are_of_a_project_or_the_workspace() -> None:
    assert {event.type for event in EVENTS if event.notifies} == NOTIFYING_TYPES
    for event in EVENTS:
        assert "workspace_id" in event.model_fields
        assert ("project_id" in event.model_fields) == issubclass(event, ProjectEvent | OperationEvent)
        one = sample(event)
        assert one.of_project() == getattr(one, "project_id", None)
