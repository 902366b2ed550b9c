"""A service waits for its schema, and starts on that of a later release."""

import asyncio

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local.stack import ROOT
from migrations.await_head import await_head, is_behind
from shared.database.address import for_sqlalchemy
from tests.support.servers import alembic_config, connected, migrate


@pytest.fixture
def unmigrated_url(database_url: str) -> str:
    """Of a database without a schema."""

    async def empty() -> None:
        async with connected(database_url) as connection:
            await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    asyncio.run(empty())
    return database_url


async def test_it_waits_for_the_migrations(unmigrated_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = asyncio.create_task(await_head(unmigrated_url, 120))
    async with asyncio.timeout(60):
        while "the schema is at None" not in capsys.readouterr().out:
            await asyncio.sleep(0.05)
    await asyncio.to_thread(migrate, unmigrated_url)
    assert await waiting


async def test_it_gives_up(unmigrated_url: str) -> None:
    assert not await await_head(unmigrated_url, 0)
    assert not await await_head("postgresql://nobody:no@127.0.0.1:1/none", 0)


async def test_the_schema_of_a_later_release_is_waited_for_no_longer(database_url: str) -> None:
    async with connected(database_url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = 'of a later release'")
    assert await await_head(database_url, 0)


def test_each_revision_but_the_head_is_behind() -> None:
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert [revision for revision in revisions if not is_behind(revision, scripts)] == [scripts.get_current_head()]


@pytest.mark.parametrize("option", ["sslmode=disable", "ssl=disable", "sslmode=prefer"])
async def test_whoever_connects_understands_the_address(database_url: str, option: str) -> None:
    address = f"{database_url}?{option}"
    await asyncio.to_thread(command.upgrade, alembic_config(address), "head")
    assert await await_head(address, 0)
    assert await _answers(address)


async def test_a_server_without_tls_is_refused_where_tls_is_a_must(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"{database_url}?sslmode=require"
    assert not await await_head(address, 0)
    assert "does not answer (ConnectionError)" in capsys.readouterr().out
    with pytest.raises(ConnectionError, match="SSL"):
        await _answers(address)


async def _answers(address: str) -> bool:
    """As the services ask."""
    engine = create_async_engine(for_sqlalchemy(address))
    try:
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT true")) is True
    finally:
        await engine.dispose()
