"""An export as the body of an answer: at the client's speed, out of one snapshot that lasts as long as it is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TypeAlias

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.api.exchange.places import Places
from shared.database.engine import Sessions

PATIENCE_SECONDS = 60.0
_PING_SECONDS = 5.0

Make: TypeAlias = Callable[[AsyncSession], Awaitable[AsyncIterator[bytes]]]


class ExportAnswer(StreamingResponse):
    """Breaks off when the client takes nothing for a minute, and when it goes away. Its place is taken already."""

    places: Places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.places.free()

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        pieces = self.body_iterator
        assert isinstance(pieces, AsyncGenerator)
        async with aclosing(pieces):
            async for piece in pieces:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def of_snapshot(sessions: Sessions, make: Make) -> AsyncGenerator[bytes, None]:
    """What `make` gives of a session of its own."""
    async with sessions() as session:
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        await session.connection(execution_options=options)
        using = asyncio.Lock()
        async with _kept_alive(session, using), using:
            async for piece in await make(session):
                using.release()
                try:
                    yield piece
                finally:
                    await using.acquire()


@asynccontextmanager
async def _kept_alive(session: AsyncSession, using: asyncio.Lock) -> AsyncIterator[None]:
    """While the client is slow the connection says something now and then, or PostgreSQL would end it as idle."""

    async def ping() -> None:
        while True:
            await asyncio.sleep(_PING_SECONDS)
            async with using:
                await session.execute(text("SELECT 1"))

    task = asyncio.create_task(ping())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
