"""Connections to PostgreSQL."""

from typing import TypeAlias

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from shared.settings import SharedSettings

Sessions: TypeAlias = async_sessionmaker[AsyncSession]

DATABASE_ERRORS: tuple[type[Exception], ...] = (
    DBAPIError,
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""What a lost or refused connection may raise: asyncpg's own too, when it connects and when it copies."""


def create_engine(settings: SharedSettings, application_name: str, *, idle_seconds: float | None = None) -> AsyncEngine:
    """A pool of `database_pool_size` connections; every statement and idle transaction has a time limit.

    `idle_seconds`: another one for transactions whose process says nothing, which keep their locks until then.
    """
    timeout = str(int(settings.statement_timeout_seconds * 1000))
    idle = timeout if idle_seconds is None else str(int(idle_seconds * 1000))
    return create_async_engine(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
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


def create_sessions(engine: AsyncEngine) -> Sessions:
    return async_sessionmaker(engine, expire_on_commit=False)
