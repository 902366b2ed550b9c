"""A client of the notifier that comes back from its offset whenever it is cut off, and writes down what it is told."""

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from deploy.local.demo.client import Gateway
from shared.contracts.messages import SUBPROTOCOL
from tests.faults.harness.history import History

_TOLD = {"subscribed", "event", "progress", "position", "error"}
_LONGEST_PAUSE_SECONDS = 0.2

Message = dict[str, Any]


class Subscriber:
    """`position` is the epoch and the offset it stands at. Its socket may be cut by `cut`, as a bad network does."""

    pause_seconds = _LONGEST_PAUSE_SECONDS
    """The longest it waits before it comes back."""

    def __init__(self, name: str, topic: str, gateway: Gateway, url: str, history: History) -> None:
        self.name, self.topic = name, topic
        self.position: dict[str, Any] | None = None
        self._gateway, self._url, self._history = gateway, url, history
        self._connection = 0
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()
        self._may_connect = asyncio.Event()
        self._may_connect.set()
        self._task = asyncio.create_task(self._follow())

    async def until(self, holds: Callable[["Subscriber"], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not holds(self):
                self._changed.clear()
                waiting = asyncio.create_task(self._changed.wait())
                await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if self._task.done():
                    self._task.result()

    async def until_opened(self) -> None:
        await self.until(lambda self: self.position is not None)

    async def until_at(self, offset: int) -> None:
        await self.until(lambda self: self.position is not None and self.position["offset"] >= offset)

    def cut(self) -> None:
        """Its socket is torn; it comes back at once, or when `allow` is called after `forbid`."""
        self._cut.set()

    def forbid(self) -> None:
        self._may_connect.clear()

    def allow(self) -> None:
        self._may_connect.set()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await self._may_connect.wait()
            self._cut.clear()
            with suppress(OSError, WebSocketException, TimeoutError):
                await self._connected()
            await asyncio.sleep(random.uniform(0, self.pause_seconds))

    async def _connected(self) -> None:
        ticket = (await self._gateway.post("/v1/websocket-tickets", {}))["ticket"]
        async with connect(
            self._url,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            compression=None,
            proxy=None,
            max_size=None,
            close_timeout=1,
        ) as socket:
            self._connection += 1
            after = self.position
            await socket.send(json.dumps({"type": "init", "ticket": ticket}))
            wanted = {"type": "subscribe", "id": "1", "topic": self.topic, **({"after": after} if after else {})}
            reading = asyncio.create_task(self._read(socket, wanted, after))
            cutting = asyncio.create_task(self._cut.wait())
            try:
                await asyncio.wait({reading, cutting}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, cutting):
                    task.cancel()
                await asyncio.gather(cutting, return_exceptions=True)
            if self._cut.is_set():
                socket.transport.abort()
            with suppress(asyncio.CancelledError):
                await reading

    async def _read(self, socket: Any, wanted: Message, after: Message | None) -> None:
        async for text in socket:
            message: Message = json.loads(text)
            if message["type"] == "ready":
                await socket.send(json.dumps(wanted))
            elif message["type"] == "ping":
                await socket.send(json.dumps({"type": "pong"}))
            elif message["type"] in _TOLD:
                self._note(message, after)

    def _note(self, message: Message, after: Message | None) -> None:
        self._history.note(
            "frame",
            subscriber=self.name,
            topic=self.topic,
            connection=self._connection,
            after=after,
            message=message,
        )
        if message["type"] == "subscribed":
            self.position = {"epoch": message["epoch"], "offset": message["offset"]}
        elif message["type"] in {"event", "position"} and self.position is not None:
            self.position = {**self.position, "offset": message["offset"]}
        self._changed.set()
