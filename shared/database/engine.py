"""Connections to PostgreSQL."""

import time
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy import AdaptedConnection, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.pool import ConnectionPoolEntry

from shared.settings import SharedSettings

_UNUSED_SECONDS = 1.0

Sessions: TypeAlias = async_sessionmaker[AsyncSession]

DATABASE_ERRORS: tuple[type[Exception], ...] = (
    DBAPIError,
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a lost or refused connection may raise: asyncpg's own too, when it connects and when it copies.

InternalClientError: the server's farewell arrives just while the connection begins another statement.
"""


def create_engine(settings: SharedSettings, application_name: str, *, idle_seconds: float | None = None) -> AsyncEngine:
    """A pool of `database_pool_size` connections; every statement and idle transaction has a time limit.

    `idle_seconds`: another one for transactions whose process says nothing, which keep their locks until then.
    """
    timeout = str(int(settings.statement_timeout_seconds * 1000))
    idle = timeout if idle_seconds is None else str(int(idle_seconds * 1000))
    engine = create_async_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=settings.database_pool_wait_seconds,
        pool_recycle=1800,
        connect_args={
            "timeout": 5,
            "command_timeout": settings.statement_timeout_seconds + 5,
            "server_settings": {
                "application_name": application_name,
                "statement_timeout": timeout,
                "idle_in_transaction_session_timeout": idle,
                "jit": "off",
            },
        },
    )
    event.listen(engine.sync_engine, "checkin", _note_use)
    event.listen(engine.sync_engine, "checkout", _check)
    return engine


def _note_use(connection: Any, record: ConnectionPoolEntry) -> None:
    if connection is not None:
        record.info["used_at"] = time.monotonic()


def _check(connection: AdaptedConnection, record: ConnectionPoolEntry, proxy: Any) -> None:
    """Whoever gets a connection gets one that lives. What was in use just now is not asked, which costs three trips.

    A server that ends says so, and then asyncpg knows that the connection is closed.
    """
    del proxy
    used_at = record.info.get("used_at")
    if used_at is None:  # it was made for this
        return
    if connection.driver_connection.is_closed():
        raise DisconnectionError
    if time.monotonic() - used_at > _UNUSED_SECONDS:
        try:
            connection.run_async(_ask)
        except DATABASE_ERRORS as error:
            raise DisconnectionError from error


async def _ask(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute("SELECT 1")


def create_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)
