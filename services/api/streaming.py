"""Answers that begin while the request is still being read.

Starlette's StreamingResponse listens for the client's end by receiving, which would swallow the rest of the body. And a
client that reads nothing before it has sent everything must not stop us reading: answers wait in a spool, not in it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import IO

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_IN_MEMORY = 1024 * 1024
_PIECE = 64 * 1024

Write = Callable[[bytes], None]


class BrokenOff(Exception):
    """The client went away before its body ended."""


async def body_of(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise BrokenOff from error


class DuplexAnswer(Response):
    """Sends what `produce` writes, while it still reads the request. `produce` must not raise."""

    def __init__(self, produce: Callable[[Write], Awaitable[None]], media_type: str) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            spool = _Spool(file)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._fill(spool))
                async for piece in spool.pieces():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _fill(self, spool: "_Spool") -> None:
        try:
            await self._produce(spool.write)
        finally:
            spool.close()


class _Spool:
    """Bytes in the order they were written; on disk beyond a mebibyte."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._written = self._read = 0
        self._closed = False
        self._changed = asyncio.Event()

    def write(self, content: bytes) -> None:
        self._file.seek(self._written)
        self._written += self._file.write(content)
        self._changed.set()

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            while self._read < self._written:
                self._file.seek(self._read)
                piece = self._file.read(_PIECE)
                self._read += len(piece)
                yield piece
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()
