"""The parts of a running notifier, opened together and closed in reverse."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.catch_up import CatchUp, Pace
from services.notifier.desk import Desk, Limits
from services.notifier.heartbeat import Heartbeat
from services.notifier.hub import Hub
from services.notifier.keys import KeyWatch
from services.notifier.log import PostgresLog
from services.notifier.settings import NotifierSettings
from services.notifier.tail import Tail
from services.notifier.tickets import Tickets
from services.notifier.webhooks import Webhooks
from shared.database.engine import create_engine, create_sessions
from shared.ending import end_tasks
from shared.hints import Hints
from shared.page_tokens import Pager
from shared.presence import keep_present
from shared.queue import JobQueue
from shared.signals import Signals
from shared.telemetry import logger

_RESTART_SECONDS = 1.0

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Notifier:
    settings: NotifierSettings
    engine: AsyncEngine
    hints: Hints
    tail: Tail
    heartbeat: Heartbeat
    keys: KeyWatch
    desk: Desk
    signals: Signals
    webhooks: Webhooks

    async def ask_database(self) -> None:
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self.webhooks.stop()
        await self.desk.catch_up.stop()
        await self.tail.stop()
        await self.signals.close()
        await self.engine.dispose()


@asynccontextmanager
async def running_notifier(settings: NotifierSettings) -> AsyncIterator[Notifier]:
    """Nothing has to be there at the start: it takes clients while PostgreSQL or Redis is away."""
    notifier = _assemble(settings)
    tasks = [
        asyncio.create_task(_for_ever(lambda: notifier.tail.listen(notifier.hints))),
        asyncio.create_task(_for_ever(lambda: notifier.tail.poll(settings.notifier_poll_seconds))),
        asyncio.create_task(_for_ever(notifier.heartbeat.run)),
        asyncio.create_task(_for_ever(notifier.keys.run)),
        asyncio.create_task(_for_ever(notifier.webhooks.follow)),
        asyncio.create_task(_for_ever(notifier.webhooks.deliver)),
        asyncio.create_task(_for_ever(notifier.webhooks.purge)),
        asyncio.create_task(_for_ever(lambda: keep_present(create_sessions(notifier.engine), "notifier"))),
    ]
    try:
        yield notifier
    finally:
        await end_tasks(tasks)
        await notifier.close()


def _assemble(settings: NotifierSettings) -> Notifier:
    engine = create_engine(settings, "prelabel-notifier")
    sessions = create_sessions(engine)
    hub, tickets = Hub(), Tickets(sessions)
    event_log = PostgresLog(sessions, Pager(settings.secret_key.get_secret_value()))
    tail = Tail(event_log, hub, settings.notifier_page_size)
    pace = Pace(
        page_size=settings.notifier_page_size,
        # Half of the connections, so that the tail and new clients always find one.
        readers=max(1, settings.database_pool_size // 2),
        max_missed=settings.notifier_max_missed_events,
        slow_client_seconds=settings.notifier_slow_client_seconds,
    )
    catch_up = CatchUp(event_log, hub, pace, tail.wake)
    tail.on_history_lost = catch_up.restart
    limits = Limits(
        heartbeat_seconds=settings.notifier_heartbeat_seconds,
        init_seconds=settings.notifier_init_seconds,
        max_subscriptions=settings.notifier_max_subscriptions,
        max_connections=settings.notifier_max_connections,
        queue_bytes=settings.notifier_client_queue_bytes,
    )
    redis_url = settings.redis_url.get_secret_value()
    signals = Signals(JobQueue(redis_url), Hints(redis_url))
    return Notifier(
        settings=settings,
        engine=engine,
        hints=signals.hints,
        tail=tail,
        heartbeat=Heartbeat(hub, settings.notifier_heartbeat_seconds),
        keys=KeyWatch(tickets, hub, settings.notifier_key_check_seconds),
        desk=Desk(hub, catch_up, tickets, limits),
        signals=signals,
        webhooks=Webhooks(sessions, signals, settings),
    )


async def _for_ever(work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Work that must not end: a bug in one round must not silence the notifier."""
    while True:
        try:
            await work()
        except Exception:  # logged, and begun anew
            log.exception("background_work_failed")
        await asyncio.sleep(_RESTART_SECONDS)
