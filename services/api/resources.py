"""What lives as long as the process: connections and clients, opened at the start and closed in reverse."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.exchange.places import Places
from services.api.settings import ApiSettings
from shared.database.engine import Sessions, create_engine, create_sessions
from shared.database.unit_of_work import UnitOfWork
from shared.egress import Egress
from shared.hints import Hints
from shared.object_store import ObjectStore
from shared.page_tokens import Pager
from shared.queue import JobQueue
from shared.signals import Signals
from shared.tracing import close_tracing

OpenWork: TypeAlias = Callable[[], AbstractAsyncContextManager[UnitOfWork]]
"""Opens a unit of work in the name of whoever asks."""


@dataclass(frozen=True, slots=True)
class Resources:
    settings: ApiSettings
    engine: AsyncEngine
    sessions: Sessions
    signals: Signals
    store: ObjectStore
    egress: Egress
    pager: Pager
    exports: Places


@asynccontextmanager
async def open_resources(settings: ApiSettings) -> AsyncIterator[Resources]:
    """Nothing connects here; the process starts while PostgreSQL or Redis is away."""
    redis_url = settings.redis_url.get_secret_value()
    async with AsyncExitStack() as opened:
        opened.callback(close_tracing)  # last, and here: after its shutdown uvicorn lets the signal end the process
        engine = create_engine(settings, "prelabel-api")
        opened.push_async_callback(engine.dispose)
        signals = Signals(JobQueue(redis_url), Hints(redis_url))
        opened.push_async_callback(signals.close)
        egress = Egress(settings)
        opened.push_async_callback(egress.close)
        yield Resources(
            settings=settings,
            engine=engine,
            sessions=create_sessions(engine),
            signals=signals,
            store=ObjectStore(settings.object_store_url),
            egress=egress,
            pager=Pager(settings.secret_key.get_secret_value()),
            exports=Places(settings.max_exports),
        )
