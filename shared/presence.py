"""A process says that it lives: a row of its own in PostgreSQL, for `GET /v1/system`."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database.engine import DATABASE_ERRORS, Sessions
from shared.database.tables import ProcessRow
from shared.ending import end_tasks
from shared.ids import new_id
from shared.version import VERSION

HEARTBEAT_SECONDS = 10.0
_PARTING_SECONDS = 2.0


@asynccontextmanager
async def present(sessions: Sessions, service: str) -> AsyncIterator[None]:
    """For as long as the block lasts."""
    saying = asyncio.create_task(keep_present(sessions, service))
    try:
        yield
    finally:
        await end_tasks({saying})


async def keep_present(sessions: Sessions, service: str, purpose: str | None = None) -> None:
    """Until cancelled; who ends in peace leaves no row."""
    process = ProcessRow(
        id=new_id(), service=service, purpose=purpose, name=f"{socket.gethostname()}:{os.getpid()}", version=VERSION
    )
    try:
        while True:
            with suppress(*DATABASE_ERRORS):
                async with sessions.begin() as session:
                    await _say(session, process)
            await asyncio.sleep(HEARTBEAT_SECONDS)
    finally:
        with suppress(TimeoutError, *DATABASE_ERRORS):
            async with asyncio.timeout(_PARTING_SECONDS), sessions.begin() as session:
                await session.execute(delete(ProcessRow).where(ProcessRow.id == process.id))


async def _say(session: AsyncSession, process: ProcessRow) -> None:
    said = {name: getattr(process, name) for name in ("id", "service", "purpose", "name", "version")}
    wanted = insert(ProcessRow).values(**said)
    now = {"heartbeat_at": func.clock_timestamp()}
    await session.execute(wanted.on_conflict_do_update(index_elements=[ProcessRow.id], set_=now))
