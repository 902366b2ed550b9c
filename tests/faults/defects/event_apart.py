"""The event of a change is committed after the change, in a transaction of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.database.engine import Sessions
from shared.database.event_log import append_events
from shared.database.unit_of_work import UnitOfWork, unit_of_work
from shared.signals import Signals
from tests.faults.defects.base import replace


def apply() -> None:
    replace(unit_of_work, _event_apart, "services.inference")


@asynccontextmanager
async def _event_apart(sessions: Sessions, signals: Signals, actor: str) -> AsyncIterator[UnitOfWork]:
    async with sessions.begin() as session:
        work = UnitOfWork(session)
        yield work
    async with sessions.begin() as session:
        streams = await append_events(session, work.events, actor) if work.events else []
    await signals.send(work.doorbells, streams)
