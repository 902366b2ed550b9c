"""HTTP clients that cost little, since they share the machine with what is measured.

Requests are bytes made beforehand, answers are read by httptools, and none has a task of its own.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools
import orjson

LOST = 0
_IDLE_SECONDS = 3.0
"""The server closes what was idle for five: sooner here, or a request would meet a door that closes."""


@dataclass(slots=True)
class Asked:
    """A request that was due at a moment of `time.perf_counter`, and what became of it."""

    call: str
    request: bytes
    due: float
    status: int = LOST
    ended: float = 0.0
    says_when: bool = False
    body: bytes = b""

    @property
    def seconds(self) -> float:
        """From when it was due, so that one that had to wait for its turn here is not taken for a quick one."""
        return self.ended - self.due


Then = Callable[[Asked], None]


def encoded(
    method: str, path: str, key: str, body: object | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    content = b"" if body is None else orjson.dumps(body)
    about = {"Host": "bench", "Authorization": f"Bearer {key}", **(headers or {})}
    if body is not None:
        about |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    head = "".join(f"{name}: {value}\r\n" for name, value in about.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content


class Clients:
    """As many connections as are needed at once, at most so many. What finds none waits for one."""

    def __init__(self, url: str, most: int = 512) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._address = (parts.hostname, parts.port)
        self._most = most
        self._open: set[_Connection] = set()
        self._idle: list[tuple[float, _Connection]] = []
        self._waiting: deque[tuple[Asked, Then]] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, asked: Asked, then: Then) -> None:
        """`then` is called once, with the answer in `asked`; its status is LOST when there was none."""
        while self._idle:
            since, connection = self._idle.pop()
            if time.perf_counter() - since < _IDLE_SECONDS:
                connection.send(asked, then)
                return
            connection.close()
        self._waiting.append((asked, then))
        if len(self._open) + len(self._opening) < self._most:
            opening = asyncio.create_task(self._connect())
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def ask(self, call: str, request: bytes) -> Asked:
        answered = asyncio.get_running_loop().create_future()
        self.send(Asked(call, request, time.perf_counter()), answered.set_result)
        asked: Asked = await answered
        return asked

    def close(self) -> None:
        for connection in tuple(self._open):
            connection.close()

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Connection(self), *self._address)
        except OSError:
            if not self._open and self._waiting:
                asked, then = self._waiting.popleft()
                asked.ended = time.perf_counter()
                then(asked)

    def opened(self, connection: "_Connection") -> None:
        self._open.add(connection)
        self.freed(connection)

    def freed(self, connection: "_Connection") -> None:
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append((time.perf_counter(), connection))

    def closed(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        self._idle = [(since, one) for since, one in self._idle if one is not connection]


class _Connection(asyncio.Protocol):
    """One request at a time. A server may close it between two, as they do after some idle seconds."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.WriteTransport | None = None
        self._asked: Asked | None = None
        self._then: Then | None = None
        self._body: list[bytes] = []

    def send(self, asked: Asked, then: Then) -> None:
        assert self._transport is not None
        self._asked, self._then = asked, then
        self._transport.write(asked.request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._clients.opened(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clients.closed(self)
        self._end(LOST)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._asked is not None and name.lower() == b"retry-after":
            self._asked.says_when = value.isdigit()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._end(self._parser.get_status_code())
        if self._parser.should_keep_alive():
            self._clients.freed(self)
        else:
            self._clients.closed(self)
            self.close()

    def _end(self, status: int) -> None:
        asked, then, body = self._asked, self._then, b"".join(self._body)
        self._asked = self._then = None
        self._body.clear()
        if asked is not None and then is not None:
            asked.status, asked.ended, asked.body = status, time.perf_counter(), body
            then(asked)
