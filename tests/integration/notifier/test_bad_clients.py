"""Clients that are broken, hostile or asleep: each is closed with its code, and those beside it notice nothing.

Beside each kind there are subscribers of the same process that must get every event, once and in order.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from deploy.local.stack import Addresses
from tests.support.healthy import PATIENCE_SECONDS, unharmed, until_torn
from tests.support.notifier import (
    Listener,
    NotifierProcess,
    Tenant,
    connected,
    listening,
    notifier_environment,
)

_BAD = 3
_CLOSED = "prelabel_notifier_slow_clients_closed_total"


@pytest.fixture(scope="module")
def environment(servers: Addresses) -> dict[str, str]:
    return notifier_environment(servers) | {
        "NOTIFIER_HEARTBEAT_SECONDS": "2",
        "NOTIFIER_INIT_SECONDS": "2",
        "NOTIFIER_CLIENT_QUEUE_BYTES": "65536",
    }


# --- who speaks wrongly ---------------------------------------------------------------------------------------------


def _frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def _fragments(count: int, size: int) -> bytes:
    """One message in so many pieces, that does not end."""
    return _frame(Opcode.TEXT, b"x" * size, fin=False) + _frame(Opcode.CONT, b"x" * size, fin=False) * (count - 1)


_PONG = _frame(Opcode.TEXT, b'{"type":"pong"}')

WRONG: Mapping[str, tuple[bytes, int]] = {
    "no JSON": (_frame(Opcode.TEXT, b"{"), 4400),
    "an unknown type": (_frame(Opcode.TEXT, b'{"type":"dance"}'), 4400),
    "a deep nesting": (_frame(Opcode.TEXT, b"[" * 60_000), 4400),
    "a huge number": (_frame(Opcode.TEXT, b'{"type":"subscribe","id":' + b"9" * 60_000 + b"}"), 4400),
    "binary": (_frame(Opcode.BINARY, b"\x00\xff" * 100), 4400),
    "no UTF-8": (_frame(Opcode.TEXT, b'{"type":"p\xffng"}'), 1007),
    "an oversized message": (_frame(Opcode.TEXT, b"x" * 70_000), 1009),
    "an oversized message in pieces": (_fragments(20, 4_000), 1009),
    "a message whose size is a lie": (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"\x00" * 4, 1009),
    "a frame without a mask": (Frame(Opcode.TEXT, b"{}").serialize(mask=False), 1002),
    "a reserved bit": (b"\xc1\x82\x00\x00\x00\x00{}", 1002),
    "a piece of nothing": (_frame(Opcode.CONT, b"{}"), 1002),
    "a flood of messages": (_PONG * 30_000, 4429),
    "a flood of subscriptions": (
        b"".join(_frame(Opcode.TEXT, b'{"type":"unsubscribe","id":"%d"}' % number) for number in range(5_000)),
        4429,
    ),
    "a flood of pings": (_frame(Opcode.PING, b"x" * 100) * 30_000, 4429),
    "a flood of pongs": (_frame(Opcode.PONG, b"") * 100_000, 4429),
    "a flood of empty pieces": (_fragments(200_000, 0), 4429),
}
"""What is sent, once it is ready, and the code it is closed with."""


@pytest.mark.parametrize("name", WRONG)
async def test_who_speaks_wrongly(notifier: NotifierProcess, tenant: Tenant, name: str) -> None:
    sent, code = WRONG[name]

    async def speak() -> None:
        async with listening(notifier, tenant) as listener:
            listener.socket.transport.write(sent)
            assert await listener.close_code(PATIENCE_SECONDS) == code

    async with unharmed(notifier, tenant):
        await asyncio.gather(*(speak() for _ in range(_BAD)))


async def test_who_floods_and_never_reads(notifier: NotifierProcess, tenant: Tenant) -> None:
    async def flood(sent: bytes) -> None:
        async with listening(notifier, tenant) as listener:
            listener.socket.transport.pause_reading()
            listener.socket.transport.write(sent)
            await _torn(listener)

    async with unharmed(notifier, tenant):
        await asyncio.gather(*(flood(sent) for sent in (_PONG * 30_000, _frame(Opcode.PING, b"x" * 100) * 30_000)))


# --- who says nothing, or reads nothing -----------------------------------------------------------------------------


async def _says_no_init(notifier: NotifierProcess, tenant: Tenant) -> int | None:
    del tenant
    async with connected(notifier.url) as listener:
        return await listener.close_code(PATIENCE_SECONDS)


async def _answers_no_ping(notifier: NotifierProcess, tenant: Tenant) -> int | None:
    async with listening(notifier, tenant) as listener:
        await listener.send(type="subscribe", id="1", topic=f"project:{tenant.project_id}")
        return await _code_after_all(listener)


async def _never_reads(notifier: NotifierProcess, tenant: Tenant) -> int | None:
    """But answers pings, as if it were well. It reads again once the notifier has lost its patience."""
    async with listening(notifier, tenant) as listener:
        before = notifier.metric(_CLOSED)
        for number in range(60):
            await listener.send(type="subscribe", id=str(number), topic=f"project:{tenant.project_id}")
        listener.socket.transport.pause_reading()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await asyncio.to_thread(notifier.metric, _CLOSED) == before:
                listener.socket.transport.write(_PONG)
                await asyncio.sleep(0.3)
        listener.socket.transport.resume_reading()
        return await _code_after_all(listener)


async def _code_after_all(listener: Listener) -> int | None:
    """That of the close, which comes after what was sent before."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with suppress(ConnectionClosed):
            while True:
                await listener.socket.recv()
    return listener.socket.close_code


ASLEEP: Mapping[str, tuple[Callable[[NotifierProcess, Tenant], Awaitable[int | None]], int, int]] = {
    "says no init": (_says_no_init, 4408, _BAD),
    "answers no ping": (_answers_no_ping, 4408, _BAD),
    "never reads": (_never_reads, 4429, 1),
}
"""What is done, the code it is closed with, and how many do it at once."""


@pytest.mark.parametrize("name", ASLEEP)
async def test_who_is_asleep(notifier: NotifierProcess, tenant: Tenant, name: str) -> None:
    sleep, code, count = ASLEEP[name]
    async with unharmed(notifier, tenant):
        assert await asyncio.gather(*(sleep(notifier, tenant) for _ in range(count))) == [code] * count


async def test_who_is_gone_without_a_word(notifier: NotifierProcess, tenant: Tenant) -> None:
    """And comes again, over and over: torn in mid-conversation, closed with much unread, or its side shut."""

    async def come_and_go(number: int) -> None:
        for turn in range(10):
            async with listening(notifier, tenant) as listener:
                for subscription in range(20):
                    await listener.send(type="subscribe", id=str(subscription), topic=f"project:{tenant.project_id}")
                await asyncio.sleep(0.05)
                listener.socket.transport.pause_reading()
                if (number + turn) % 3 == 1:
                    listener.socket.transport.write(_frame(Opcode.CLOSE, b"\x03\xe8"))
                elif (number + turn) % 3 == 2:
                    listener.socket.transport.write_eof()
                await asyncio.sleep(0.05)
                listener.socket.transport.abort()

    async with unharmed(notifier, tenant):
        await asyncio.gather(*(come_and_go(number) for number in range(_BAD)))


@pytest.mark.parametrize(
    "goodbye",
    [_frame(Opcode.CLOSE, b"\x03\xe8"), _frame(Opcode.TEXT, b"x" * 70_000), None],
    ids=["says goodbye", "says too much", "says nothing"],
)
async def test_who_ends_with_much_unread_and_stays(
    notifier: NotifierProcess, tenant: Tenant, goodbye: bytes | None
) -> None:
    """What it has not read would keep its connection for as long as it likes."""

    async def end() -> None:
        async with listening(notifier, tenant) as listener:
            listener.socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            for subscription in range(5):
                await listener.send(type="subscribe", id=str(subscription), topic=f"project:{tenant.project_id}")
            listener.socket.transport.pause_reading()
            await asyncio.sleep(0.5)
            if goodbye is None:
                listener.socket.transport.write_eof()
            else:
                listener.socket.transport.write(goodbye)
            await _torn(listener)

    async with unharmed(notifier, tenant):
        await asyncio.gather(*(end() for _ in range(_BAD)))


async def _torn(listener: Listener) -> None:
    transport = listener.socket.transport
    await until_torn(transport.get_extra_info("sockname")[1])
    transport.abort()


# --- who does not get as far as a conversation ----------------------------------------------------------------------

BEFORE: Mapping[str, bytes] = {
    "nothing": b"",
    "half a request": b"GET /v1/ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n",
    "half a second request": b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\nGET /v1/ws HTTP/1.1\r\nHost: h",
    "something else": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "a handshake without a key": b"GET /v1/ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\n\r\n",
    "another path": b"GET /v2/ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
}


@pytest.mark.parametrize("name", BEFORE)
async def test_who_never_becomes_a_websocket(notifier: NotifierProcess, tenant: Tenant, name: str) -> None:
    address = urlsplit(notifier.http_url)

    async def try_it() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(BEFORE[name])
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                answer = await reader.read(-1)
            except ConnectionResetError:
                answer = b""
        writer.close()
        assert b"101 Switching" not in answer
        assert b"500 " not in answer

    async with unharmed(notifier, tenant):
        await asyncio.gather(*(try_it() for _ in range(_BAD)))


# --- who only looks like a bad one ----------------------------------------------------------------------------------


async def test_who_comes_back_with_all_its_subscriptions_at_once(notifier: NotifierProcess, tenant: Tenant) -> None:
    topics = [{"type": "subscribe", "id": str(number), "topic": "notifications"} for number in range(100)]
    async with connected(notifier.url) as listener:
        for message in ({"type": "init", "ticket": await tenant.ticket()}, *topics):
            await listener.socket.send(json.dumps(message))
        assert (await listener.read())["type"] == "ready"
        answers = await listener.read_many(100)
        assert {answer["id"] for answer in answers if answer["type"] == "subscribed"} == {one["id"] for one in topics}
