"""asyncpg beneath a session, for COPY and for statements that are sent thousands of times."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from shared.database.engine import Sessions

Driver: TypeAlias = Any
"""asyncpg's own connection, or what the pool has put around it."""


async def driver_of(session: AsyncSession) -> Driver:
    """Within the session's transaction, if a statement of the session has begun that."""
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection


@asynccontextmanager
async def driver_transaction(sessions: Sessions) -> AsyncIterator[Driver]:
    """A transaction with no session above it, committed at the end: a session costs more CPU than the statements."""
    engine = sessions().bind
    if not isinstance(engine, AsyncEngine):
        raise TypeError("these sessions have no pool of their own")
    async with engine.connect() as connection:
        driver: Driver = (await connection.get_raw_connection()).driver_connection
        try:
            async with driver.transaction():
                yield driver
        finally:
            if driver.is_in_transaction():  # it could not be rolled back, and the pool knows of no transaction
                driver.terminate()
