"""The wire to one client: whole frames go straight to its transport, nobody is awaited.

The client's queue (`client.py`) can thus be bounded and a broadcast is one write a client; through ASGI each message
would be encoded again and wait for the slowest reader.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, Protocol, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from services.notifier.rate import Rate
from shared.contracts.messages import CloseCode

EXTENSION = "prelabel.wire"
FLOODS = (CloseCode.TOO_MANY, "too many messages")
_CLOSE_SECONDS, _FLOOD_SECONDS = 5.0, 1.0
_MAX_REASON_BYTES = 123
_MAX_UNREAD_PONGS = 1024 * 1024
_PIECE_BYTES = 4096
_INVALID_UTF8 = 1007
_LINGER_NOT = struct.pack("ii", 1, 0)


class Wire(Protocol):
    """`on_writable` is called when a wire that could not take more can again."""

    on_writable: Callable[[], None]

    @property
    def is_writable(self) -> bool: ...

    def write(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


def text_frame(text: bytes) -> bytes:
    """The bytes of one websocket text message from a server; the same for every client."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def tear(transport: asyncio.Transport) -> None:
    """End a connection that is not lost yet. Without a reset the kernel would go on offering what was not read."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


def wire_of(scope: Any) -> "WireProtocol":
    return cast(WireProtocol, scope["extensions"][EXTENSION])


class _Inbox:
    """What uvicorn needs of a queue; `asyncio.Queue` takes three kilobytes when it is empty."""

    __slots__ = ("_items", "_waiting")

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        return not self._items

    def put_nowait(self, item: Any) -> None:
        self._items.append(item)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Any:
        while not self._items:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._items.pop(0)


class WireProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol; it hands itself to the application as the `Wire`.

    Every frame counts against `frames_per_second`, pings and pieces of messages too: each costs this process its time.
    """

    def __init__(self, *args: Any, frames_per_second: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_writable: Callable[[], None] = _nothing
        self.on_flood: Callable[[], None] = self._end_flood
        self.is_writable = True
        self.queue = cast(Any, _Inbox())
        self._rate = Rate(frames_per_second, self.loop.time)
        self._is_deaf = False

    def settle(self) -> None:
        """The handshake is done. What it was about is forgotten, since connections are many and stay for hours."""
        self.request = self.response = cast(Any, None)
        self.scope.clear()  # type: ignore[attr-defined]

    def write(self, frame: bytes) -> None:
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            self.transport.write(frame)

    def close(self, code: int, reason: str) -> None:
        """Does not wait for a client that reads nothing."""
        if self._is_over():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self._abort_later()

    def data_received(self, data: bytes) -> None:
        # In pieces: a whole read of tiny frames would hold all others up for as long as it takes to parse.
        for start in range(0, len(data), _PIECE_BYTES):
            if self._is_deaf or self.transport.is_closing():
                return
            super().data_received(data[start : start + _PIECE_BYTES])

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            cast(dict[str, Any], self.scope["extensions"])[EXTENSION] = self

    def handle_text(self, event: Frame) -> None:
        if self._may_come():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if self._may_come():
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if self._may_come():
            super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        if self._may_come():
            super().handle_pong(event)

    def handle_ping(self) -> None:
        # Pongs pass by the client's queue: who pings but never reads must not fill memory.
        if self.transport.get_write_buffer_size() > _MAX_UNREAD_PONGS:
            tear(self.transport)
        elif self._may_come():
            super().handle_ping()

    def send_receive_event_to_app(self) -> None:
        self.frames = [b"".join(self.frames)]
        if self.curr_msg_data_type == "text" and not _is_utf8(self.frames[0]):
            self.conn.send_close(_INVALID_UTF8)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._abort_later()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._abort_later()

    def eof_received(self) -> None:
        self._abort_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_writable = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_writable = True
        self.on_writable()

    def _is_over(self) -> bool:
        return self.close_sent or self.disconnected or self.transport.is_closing()

    def _may_come(self) -> bool:
        """Whether there is room for one more frame. After the first that has none nothing is looked at any more."""
        if not self._is_deaf and not self._rate.allows():
            self._is_deaf = True
            self.on_flood()
            self._abort_later(_FLOOD_SECONDS)
        return not self._is_deaf

    def _end_flood(self) -> None:
        self.close(*FLOODS)

    def _abort_later(self, seconds: float = _CLOSE_SECONDS) -> None:
        """What a client has not read by then is dropped: a transport that flushes waits for ever for one that never
        reads."""
        if self.close_timer is not None:
            self.close_timer.cancel()
        if not self.disconnected:
            self.close_timer = self.loop.call_later(seconds, tear, self.transport)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _nothing() -> None:
    pass
