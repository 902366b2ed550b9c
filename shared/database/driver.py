"""asyncpg beneath a session, for COPY and for statements that are sent thousands of times."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession


async def driver_of(session: AsyncSession) -> Any:
    """asyncpg's own connection. Within the session's transaction, if a statement of the session has begun that."""
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection
