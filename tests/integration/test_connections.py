"""Nobody gets a connection that the server has ended."""

import asyncio

import pytest
from sqlalchemy import text

from services.inference.settings import InferenceSettings
from shared.database import engine as engines
from shared.database.driver import driver_of
from shared.database.engine import Sessions, create_engine, create_sessions


@pytest.mark.parametrize("unused_seconds", [0.0, 60.0])
async def test_an_ended_connection_is_replaced(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, unused_seconds: float
) -> None:
    """Whether it is asked, since it was long unused, or is only known to be closed."""
    monkeypatch.setattr(engines, "_UNUSED_SECONDS", unused_seconds)
    engine = create_engine(InferenceSettings(database_pool_size=1), "test-connections")
    mine = create_sessions(engine)
    async with mine() as session:
        before = await session.scalar(text("SELECT pg_backend_pid()"))
        driver = await driver_of(session)
    async with mine() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) == before, "one that lives is kept"
    async with sessions() as other:
        await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": before})
    if unused_seconds:
        async with asyncio.timeout(10):
            while not driver.is_closed():
                await asyncio.sleep(0.01)
    async with mine() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) != before
    await engine.dispose()
