"""One unit of work, committed at the edge: rows and events together, doorbells and hints once those are safe."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.event import Event
from shared.contracts.jobs import Doorbell
from shared.database.engine import Sessions
from shared.database.event_log import append_events
from shared.signals import Signals


class UnitOfWork:
    """What a request or a step of a worker may cause. Nothing in it calls commit."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.events: list[Event] = []
        self.doorbells: Counter[Doorbell] = Counter()

    def emit(self, event: Event) -> None:
        """Log it in this transaction. It is appended last, since the stream's lock lasts until commit."""
        self.events.append(event)

    def ring(self, doorbell: Doorbell, times: int = 1) -> None:
        """Wake that many workers once the rows they will look for are committed."""
        self.doorbells[doorbell] = max(self.doorbells[doorbell], times)


@asynccontextmanager
async def unit_of_work(sessions: Sessions, signals: Signals, actor: str) -> AsyncIterator[UnitOfWork]:
    async with sessions.begin() as session:
        work = UnitOfWork(session)
        yield work
        await session.flush()
        streams = await append_events(session, work.events, actor) if work.events else []
    # Committed. If the process dies here, idle workers and the notifier still look by themselves.
    await signals.send(work.doorbells, streams)


@asynccontextmanager
async def transaction(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """A write that nobody needs to hear of."""
    async with sessions.begin() as session:
        yield session
