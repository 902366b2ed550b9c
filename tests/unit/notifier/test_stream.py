"""Where a stream's followers stand, and when they cannot go on."""

from uuid import uuid4

import pytest

from services.notifier.rate import Rate
from services.notifier.stream import HistoryLost, KeyGuard, Stream, Subscription
from services.notifier.topics import ModelRunTopic, NotificationsTopic, ProjectTopic, Topic, WantedTopic, parse_topic
from shared.database.event_log import Head
from shared.errors import NotFound
from tests.unit.notifier.doubles import IDENTITY, logged, new_client

_EPOCH = uuid4()


def _stream(last_offset: int) -> Stream:
    stream = Stream(uuid4())
    stream.start_at(Head(_EPOCH, 1, last_offset))
    return stream


def test_the_first_head_counts_and_a_later_one_moves_nothing() -> None:
    stream = _stream(5)
    stream.start_at(Head(_EPOCH, 1, 9))
    assert stream.cursor == 5
    with pytest.raises(HistoryLost):
        stream.start_at(Head(uuid4(), 1, 9))


def test_a_hole_is_noticed() -> None:
    stream = _stream(5)
    with pytest.raises(HistoryLost):
        stream.deliver(logged(7))


@pytest.mark.parametrize(
    ("head", "ahead"),
    [(Head(_EPOCH, 1, 5), 0), (Head(_EPOCH, 1, 8), 3), (Head(_EPOCH, 6, 8), 3), (Head(_EPOCH, 6, 5), 0)],
)
def test_how_far_the_log_is_ahead(head: Head, ahead: int) -> None:
    assert _stream(5).lag(head, 5) == ahead


@pytest.mark.parametrize("head", [None, Head(uuid4(), 1, 5), Head(_EPOCH, 1, 4), Head(_EPOCH, 7, 8)])
def test_a_log_that_cannot_continue(head: Head | None) -> None:
    with pytest.raises(HistoryLost):
        _stream(5).lag(head, 5)


def test_a_head_read_before_the_cursor_moved_on_loses_nothing() -> None:
    stream = _stream(5)
    stream.deliver(logged(6))
    assert stream.lag(Head(_EPOCH, 1, 5), cursor_before=5) == 0


def test_a_subscription_ahead_of_the_cursor_gets_nothing_twice() -> None:
    stream = _stream(5)
    client, wire = new_client()
    subscription = Subscription(id="1", client=client, identity=IDENTITY, wanted=NotificationsTopic(), offset=7)
    stream.add(subscription, "all")
    assert stream.go_live(subscription)
    for offset in (6, 7, 8):
        stream.deliver(logged(offset))
    assert [message["offset"] for message in wire.messages] == [8]


def test_a_guard_hears_of_its_own_key_only() -> None:
    stream, key = _stream(0), uuid4()
    client, wire = new_client()
    guard = KeyGuard(client=client, topic=Topic(stream.id, key), is_live=True)
    stream.add(guard, key)
    stream.deliver(logged(1, "api_key.revoked"))
    stream.deliver(logged(2, "api_key.created", key))
    assert wire.closed is None
    stream.deliver(logged(3, "api_key.revoked", key))
    assert wire.closed is not None
    assert wire.closed[0] == 4401


def test_topics_as_they_are_written() -> None:
    some = uuid4()
    written: dict[str, WantedTopic] = {
        f"project:{some}": ProjectTopic(some),
        f"model_run:{some}": ModelRunTopic(some),
        "notifications": NotificationsTopic(),
    }
    assert {text: parse_topic(text) for text in written} == written
    for text in ("", "project", "project:", "project:1", f"projects:{some}", f"notifications:{some}"):
        with pytest.raises(NotFound):
            parse_topic(text)


def test_a_rate_allows_a_burst_and_then_the_average() -> None:
    now = 0.0
    rate = Rate(2, lambda: now)
    assert [rate.allows() for _ in range(13)] == [True] * 12 + [False]
    now = 1.0
    assert [rate.allows() for _ in range(3)] == [True, True, False]
