"""The wire to one client: whole frames go straight to its transport, nobody is awaited.

The client's queue (`client.py`) can thus be bounded and a broadcast is one write a client; through ASGI each message
would be encoded again and wait for the slowest reader.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

EXTENSION = "prelabel.wire"
_CLOSE_SECONDS = 5.0
_MAX_REASON_BYTES = 123
_MAX_UNREAD_PONGS = 1024 * 1024


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
    """uvicorn's protocol; it hands itself to the application as the `Wire`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_writable: Callable[[], None] = _nothing
        self.is_writable = True
        self.queue = cast(Any, _Inbox())

    def settle(self) -> None:
        """The handshake is done. What it was about is forgotten, since connections are many and stay for hours."""
        self.request = self.response = cast(Any, None)
        self.scope.clear()  # type: ignore[attr-defined]

    def write(self, frame: bytes) -> None:
        if not (self.close_sent or self.disconnected or self.transport.is_closing()):
            self.transport.write(frame)

    def close(self, code: int, reason: str) -> None:
        """Does not wait for a client that reads nothing: what it has not read in five seconds is dropped."""
        if self._is_over():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore"))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_CLOSE_SECONDS, self.transport.abort)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            cast(dict[str, Any], self.scope["extensions"])[EXTENSION] = self

    def handle_ping(self) -> None:
        # Pongs pass by the client's queue: who pings but never reads must not fill memory.
        if self.transport.get_write_buffer_size() > _MAX_UNREAD_PONGS:
            self.transport.abort()
        else:
            super().handle_ping()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_writable = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_writable = True
        self.on_writable()

    def _is_over(self) -> bool:
        return self.close_sent or self.disconnected or self.transport.is_closing()


def _nothing() -> None:
    pass
