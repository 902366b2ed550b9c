"""The answer leaves before what it says is committed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.database.engine import Sessions
from shared.database.event_log import append_events
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.signals import Signals
from tests.faults.defects.base import replace

_LATE_SECONDS = 5.0
_under_way: set[asyncio.Task[None]] = set()


def apply() -> None:
    replace(unit_of_work, _committed_later, "services.api.dependencies")


@asynccontextmanager
async def _committed_later(sessions: Sessions, signals: Signals, actor: str) -> AsyncIterator[UnitOfWork]:
    session = sessions()
    work = UnitOfWork(session)
    yield work

    async def commit() -> None:
        await asyncio.sleep(_LATE_SECONDS)
        async with session:
            await session.flush()
            streams = await append_events(session, work.events, actor)
            await session.commit()
        await signals.send(work.doorbells, streams)

    _under_way.add(asyncio.create_task(commit()))
