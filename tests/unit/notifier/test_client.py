"""The bounded queue in front of a wire: progress goes first, then the client; logged events never."""

import asyncio
from uuid import uuid4

from services.notifier.client import Client
from services.notifier.wire import text_frame
from tests.unit.notifier.doubles import FakeWire, new_client

_RUN = ("1", uuid4())


def _frame(text: str, size: int = 100) -> bytes:
    return text_frame(b'"' + text.encode().ljust(size, b".") + b'"')


def _texts(wire: FakeWire) -> list[str]:
    return [str(message).rstrip(".") for message in wire.messages]


def _behind(queue_bytes: int) -> tuple[Client, FakeWire]:
    client, wire = new_client(queue_bytes)
    wire.is_writable = False
    return client, wire


def test_what_a_wire_takes_goes_there_at_once() -> None:
    client, wire = new_client()
    client.send(_frame("a"))
    client.send_progress(_frame("p"), _RUN)
    assert _texts(wire) == ["a", "p"]
    assert not client.is_behind


def test_the_order_is_kept_when_the_wire_is_back() -> None:
    client, wire = _behind(1_000_000)
    for text in "abc":
        client.send(_frame(text))
    wire.open()
    client.send(_frame("d"))
    assert _texts(wire) == ["a", "b", "c", "d"]


def test_progress_that_waits_is_replaced_in_its_place() -> None:
    client, wire = _behind(1_000_000)
    client.send_progress(_frame("10 %"), _RUN)
    client.send(_frame("event"))
    client.send_progress(_frame("20 %"), _RUN)
    client.send_progress(_frame("other run"), ("1", uuid4()))
    wire.open()
    assert _texts(wire) == ["20 %", "event", "other run"]


def test_over_the_bound_progress_is_dropped_first() -> None:
    client, wire = _behind(450)
    client.send_progress(_frame("p"), _RUN)
    client.send_progress(_frame("q"), ("1", uuid4()))
    for text in "abc":
        client.send(_frame(text))
    assert wire.closed is None
    wire.open()
    assert _texts(wire) == ["a", "b", "c"]


def test_progress_is_dropped_when_events_fill_the_queue() -> None:
    client, wire = _behind(450)
    for text in "abcd":
        client.send(_frame(text))
    client.send_progress(_frame("p"), _RUN)
    assert wire.closed is None
    wire.open()
    assert _texts(wire) == ["a", "b", "c", "d"]


def test_over_the_bound_with_events_alone_the_client_is_closed() -> None:
    client, wire = _behind(450)
    for text in "abcde":
        client.send(_frame(text))
    assert wire.closed is not None
    assert wire.closed[0] == 4429
    client.send(_frame("f"))
    wire.open()
    assert wire.written == []


def test_one_message_may_be_longer_than_the_queue() -> None:
    client, wire = _behind(450)
    client.send(_frame("long", 10_000))
    assert wire.closed is None
    client.send(_frame("one more"))
    assert wire.closed is not None


async def test_drained_waits_for_the_wire_and_ends_with_the_client() -> None:
    client, wire = _behind(1_000)
    await client.drained()
    client.send(_frame("a"))
    waiting = asyncio.create_task(client.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    wire.open()
    await waiting
    wire.is_writable = False
    client.send(_frame("b"))
    waiting = asyncio.create_task(client.drained())
    await asyncio.sleep(0)
    client.ended()
    await waiting
