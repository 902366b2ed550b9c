"""A service waits for its schema, and starts on that of a later release."""

import asyncio

import pytest
from alembic.script import ScriptDirectory

from deploy.local.stack import ROOT
from migrations.await_head import await_head, is_behind
from tests.support.servers import connected, migrate


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
