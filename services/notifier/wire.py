"""The wire to one client: whole frames go straight to its transport, nobody is awaited.

The client's queue (`client.py`) can thus be bounded and a broadcast is one write a client; through ASGI each message
would be encoded again and wait for the slowest reader.
"""

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


def wire_of(scope: Any) -> Wire:
    return cast(Wire, scope["extensions"][EXTENSION])


class WireProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol; it hands itself to the application as the `Wire`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_writable: Callable[[], None] = _nothing

    @property
    def is_writable(self) -> bool:
        return self.writable.is_set()

    def write(self, frame: bytes) -> None:
        if not self._is_over():
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

    def resume_writing(self) -> None:
        super().resume_writing()
        self.on_writable()

    def _is_over(self) -> bool:
        return self.close_sent or self.disconnected or self.transport.is_closing()


def _nothing() -> None:
    pass
