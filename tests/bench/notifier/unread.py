"""A client that subscribes and then never reads. It has thirty subscriptions, so that much waits for it soon."""

import asyncio
import json
import socket
from urllib.parse import urlsplit

from tests.bench.notifier.crowd import handshake, text_frame
from tests.bench.notifier.stage import NotifierStage

_SUBSCRIPTIONS = 30
_BUFFER_BYTES = 4_096
_SEGMENT_BYTES = 1_400
"""As on a network: with the segments of a loopback the kernel itself would keep three megabytes for it."""
_LOOK_SECONDS = 0.05


class Unread:
    def __init__(self, stage: NotifierStage) -> None:
        self._stage = stage
        self._socket: socket.socket | None = None

    async def connect(self) -> None:
        address = urlsplit(self._stage.notifier.url)
        assert address.hostname is not None
        assert address.port is not None
        (ticket,) = await self._stage.tickets(1)
        position = await self._stage.position()
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
        connection.connect((address.hostname, address.port))
        messages: list[dict[str, object]] = [{"type": "init", "ticket": ticket}]
        messages += [
            # From where the log stands, so that what is measured is one that does not read, and no snapshot.
            {"type": "subscribe", "id": str(number), "topic": self._stage.topic, "after": position}
            for number in range(_SUBSCRIPTIONS)
        ]
        connection.sendall(handshake(address.hostname, address.port))
        connection.recv(_BUFFER_BYTES)  # it is a websocket now
        for message in messages:
            connection.sendall(text_frame(json.dumps(message)))
        self._socket = connection

    async def until_closed(self) -> None:
        """By the notifier, which tears the connection of who does not read; then it is there again."""
        assert self._socket is not None
        while not self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            await asyncio.sleep(_LOOK_SECONDS)
        self._socket.close()
        await self.connect()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
