"""The wire to one reader of a server-sent stream, past ASGI for the reasons that `wire.py` has."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.notifier.server_sent_blocks import END, named_block
from services.notifier.wire import EXTENSION, tear
from shared.contracts.messages import CloseCode, Closed

_CLOSE_SECONDS = 5.0


def server_sent_wire_of(scope: Any) -> "ServerSentProtocol":
    return cast(ServerSentProtocol, scope["extensions"][EXTENSION])


class ServerSentProtocol(HttpToolsProtocol):
    """uvicorn's protocol; it hands itself to the application. Once `begin` was called it is a `Wire`.

    The head of a request, a websocket's too, must be there within `head_seconds`.
    """

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds
        self._waiting_for_head: asyncio.TimerHandle | None = None
        self.on_writable: Callable[[], None] = _nothing
        self._gone: asyncio.Event | None = None
        self._closing: asyncio.TimerHandle | None = None

    @property
    def is_writable(self) -> bool:
        return not self.flow.write_paused

    def begin(self, silent_seconds: float) -> None:
        """The head of the answer is out; what follows is written here. A reader that acknowledges nothing for so
        long is gone."""
        self._gone = asyncio.Event()
        if self.transport.is_closing():
            self._gone.set()
            return
        connection = self.transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silent_seconds * 1000))

    async def gone(self) -> None:
        """Not `receive`: uvicorn tells only the last of several requests on a connection that it has gone."""
        if self._gone is not None:
            await self._gone.wait()

    def write(self, frame: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(frame)

    def close(self, code: int, reason: str) -> None:
        """Does not wait for a reader that reads nothing: what it has not read in five seconds is dropped."""
        if self._gone is None or self.transport.is_closing():
            return
        self.transport.write(named_block("closed", Closed(code=CloseCode(code), reason=reason)) + END)
        self.transport.close()
        self._closing = self.loop.call_later(_CLOSE_SECONDS, tear, self.transport)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast(dict[str, Any], self.scope)["extensions"] = {EXTENSION: self}
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_is_there()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.on_writable()

    def shutdown(self) -> None:
        if self._gone is None:
            super().shutdown()
        else:
            self.close(CloseCode.RESTART, "the notifier restarts")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head_is_there()
        if self._closing is not None:
            self._closing.cancel()
        if self._gone is not None:
            self._gone.set()

    def _wait_for_head(self) -> None:
        if self._waiting_for_head is None:
            self._waiting_for_head = self.loop.call_later(self._head_seconds, tear, self.transport)

    def _head_is_there(self) -> None:
        if self._waiting_for_head is not None:
            self._waiting_for_head.cancel()
            self._waiting_for_head = None


def _nothing() -> None:
    pass
