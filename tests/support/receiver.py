"""A receiver of webhooks: what it got, and answers as a test wants them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from standardwebhooks import Webhook

from tests.support import waiting

LONGEST_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    def verify(self, secret: str) -> None:
        """Raises WebhookVerificationError, as in a receiver that uses the library."""
        Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Received], Awaitable[bytes]]


def status(code: int, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {code} said", "Content-Length: 0", "Connection: close", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def fine(_: Received) -> bytes:
    return status(204)


async def never(_: Received) -> bytes:
    await asyncio.sleep(LONGEST_SECONDS)
    return status(200)


def said(*answers: bytes) -> Answer:
    """Each of them once, in this order; the last for ever."""
    left = list(answers)

    async def answer(_: Received) -> bytes:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


@dataclass
class Switch:
    """An answer that is 500 until it works."""

    works: bool = False

    async def __call__(self, _: Received) -> bytes:
        return status(200 if self.works else 500)


@dataclass
class Receiver:
    url: str = ""
    answer: Answer = fine
    received: list[Received] = field(default_factory=list)

    async def until(self, count: int) -> list[Received]:
        await until(lambda: len(self.received) >= count)
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            one = await _read(reader)
            self.received.append(one)
            writer.write(await self.answer(one))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """At a private address."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    try:
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        yield receiver
    finally:
        server.close()


async def until(holds: Callable[[], bool]) -> None:
    await waiting.until(holds, LONGEST_SECONDS)


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)
