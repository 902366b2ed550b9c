"""`python -m tests.bench.notifier.crowd`: many websocket clients in one process, as cheap as they can be.

It reads one JSON object from standard input, connects all clients, and then obeys one command a line. Every answer is a
line of JSON. Nothing is decoded that need not be: events are found by the bytes of their offset. What comes is noted
with its time at once and looked at when nothing more waits, or the first clients' work would be the last ones' delay.
"""

import asyncio
import gc
import json
import random
import re
import sys
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, cast

import uvloop
from pydantic import BaseModel

_OFFSET = re.compile(rb'"type":"event","id":"[^"]*","offset":([0-9]+)')
_OPENED = re.compile(rb'"epoch":"([^"]*)","offset":([0-9]+),"recovered":(true|false)')
_PING, _PONG = b'{"type":"ping"}', b'{"type":"pong"}'
_CARRIED = 400  # bytes of a message up to the end of its offset
_AT_ONCE = 40
_LONGEST_PAUSE_SECONDS = 4.0  # as docs/websocket.md asks for


class Orders(BaseModel):
    """`tickets` is a file with one a line. Without `topic` it is a bare connection: no handshake, nothing is sent."""

    host: str
    port: int
    clients: int
    topic: str | None = None
    tickets: str | None = None
    subscriptions: int = 1
    comes_back: bool = False
    keeps: Literal["counts", "times"] = "counts"


@dataclass(slots=True)
class Tally:
    """What all clients of the process have seen."""

    events: int = 0
    bytes: int = 0
    opened: int = 0
    lost: int = 0
    unrecovered: int = 0
    gaps: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    times: "array[int]" = field(default_factory=lambda: array("q"))


class Crowd:
    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.tally = Tally()
        self.clients = [_Client(self) for _ in range(orders.clients)]
        self._tickets = iter(open(orders.tickets).read().split()) if orders.tickets else iter(())  # noqa: SIM115
        self._arrived: list[tuple[_Client, bytes, int]] = []

    def ticket(self) -> str:
        return next(self._tickets)

    def note(self, client: "_Client", data: bytes, now: int) -> None:
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._look)
        self._arrived.append((client, data, now))

    def _look(self) -> None:
        arrived, self._arrived = self._arrived, []
        for client, data, now in arrived:
            client.look(data, now)
        self.tally.changed.set()

    async def connect(self) -> None:
        turns = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._connect(client, turns) for client in self.clients))

    async def _connect(self, client: "_Client", turns: asyncio.Semaphore) -> None:
        async with turns:
            opened = await client.connect()
            if self.orders.topic is not None:
                await opened.wait()

    def lowest(self) -> int:
        return min(client.offset for client in self.clients)


class _Client(asyncio.Protocol):
    """Stands at `offset` of `epoch`; both outlive its connections."""

    __slots__ = ("_carried", "_crowd", "_has_upgraded", "_opened", "_transport", "epoch", "offset")

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._carried = b""
        self._transport: asyncio.Transport | None = None
        self._opened: asyncio.Event | None = None
        self._has_upgraded = False
        self.epoch, self.offset = "", 0

    async def connect(self) -> asyncio.Event:
        """What is set once it has subscribed. Again and again with a random pause, as docs/websocket.md asks for."""
        loop, orders = asyncio.get_running_loop(), self._crowd.orders
        opened = self._opened = asyncio.Event()
        longest = 1.0
        while True:
            try:
                await loop.create_connection(lambda: self, orders.host, orders.port)
                return opened
            except OSError:
                if not orders.comes_back:
                    raise
                await asyncio.sleep(random.uniform(0, longest))
                longest = min(_LONGEST_PAUSE_SECONDS, 2 * longest)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._carried = cast(asyncio.Transport, transport), b""
        self._has_upgraded = self._crowd.orders.topic is None
        if not self._has_upgraded:
            self._transport.write(handshake(self._crowd.orders.host, self._crowd.orders.port))

    def _begin(self, transport: asyncio.Transport) -> None:
        orders, self._has_upgraded = self._crowd.orders, True
        transport.write(text_frame(json.dumps({"type": "init", "ticket": self._crowd.ticket()})))
        after = {"after": {"epoch": self.epoch, "offset": self.offset}} if self.epoch else {}
        for number in range(orders.subscriptions):
            wanted = {"type": "subscribe", "id": str(number), "topic": orders.topic, **after}
            transport.write(text_frame(json.dumps(wanted)))

    def data_received(self, data: bytes) -> None:
        self._crowd.note(self, data, time.monotonic_ns())

    def look(self, data: bytes, now: int) -> None:
        tally = self._crowd.tally
        tally.bytes += len(data)
        if self._crowd.orders.topic is None and self._crowd.orders.keeps == "counts":
            return
        if not self._has_upgraded and self._transport is not None:
            self._begin(self._transport)
        text = self._carried + data
        end = 0
        if self._opened is not None:
            end = self._open(text)
        for found in _OFFSET.finditer(text, end):
            offset, end = int(found[1]), found.end()
            tally.events += 1
            if offset != self.offset + 1 and self._crowd.orders.subscriptions == 1:
                tally.gaps += 1
            self.offset = offset
            if self._crowd.orders.keeps == "times":
                tally.offsets.append(offset)
                tally.times.append(now)
        if _PING in data and self._transport is not None:
            self._transport.write(text_frame(_PONG.decode()))
        self._carried = text[max(end, len(text) - _CARRIED) :]

    def _open(self, text: bytes) -> int:
        found = _OPENED.search(text)
        if found is None or self._opened is None:
            return 0
        epoch, offset = found[1].decode(), int(found[2])
        if self.epoch and (found[3] == b"false" or offset != self.offset):
            self._crowd.tally.unrecovered += 1
        self.epoch, self.offset = epoch, offset
        self._crowd.tally.opened += 1
        self._opened.set()
        self._opened = None
        return found.end()

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._transport = None
        self._crowd.tally.lost += 1
        self._crowd.tally.changed.set()
        if self._crowd.orders.comes_back:
            asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        await asyncio.sleep(random.uniform(0, 1))
        await self.connect()


def handshake(host: str, port: int) -> bytes:
    lines = (
        "GET /v1/ws HTTP/1.1",
        f"Host: {host}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: prelabel.v1",
    )
    return "\r\n".join((*lines, "", "")).encode()


def text_frame(text: str) -> bytes:
    """A masked frame. The mask is zero: allowed, and free."""
    body = text.encode()
    size = bytes([0x80 | len(body)]) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2, "big")
    return b"\x81" + size + b"\x00\x00\x00\x00" + body


async def _obey(crowd: Crowd, lines: asyncio.StreamReader) -> None:
    await crowd.connect()
    _say(connected=len(crowd.clients))
    while line := await lines.readline():
        order = json.loads(line)
        if order["do"] == "times":
            _write_times(crowd.tally, Path(order["file"]))
        else:
            offset, size = order.get("offset", 0), order.get("bytes", 0)
            await _until(crowd, partial(_has_come, crowd, offset, size), order["seconds"])
            _say(at=time.monotonic_ns(), **_counts(crowd))


def _has_come(crowd: Crowd, offset: int, size: int) -> bool:
    return crowd.tally.bytes >= size and (not offset or crowd.lowest() >= offset)


def _write_times(tally: Tally, path: Path) -> None:
    with path.open("wb") as file:
        tally.offsets.tofile(file)
        tally.times.tofile(file)
    _say(count=len(tally.times))
    tally.offsets, tally.times = array("q"), array("q")


def _counts(crowd: Crowd) -> Mapping[str, int]:
    tally = crowd.tally
    names = ("events", "bytes", "opened", "lost", "unrecovered", "gaps")
    return {name: getattr(tally, name) for name in names}


async def _until(crowd: Crowd, holds: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            crowd.tally.changed.clear()
            await crowd.tally.changed.wait()
            await asyncio.sleep(0.002)  # the look over all clients is not free


def _say(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main() -> None:
    gc.disable()  # a pause of this process would count as one of the notifier's
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    orders = Orders.model_validate_json(await lines.readline())
    await _obey(Crowd(orders), lines)


if __name__ == "__main__":
    uvloop.run(main())
