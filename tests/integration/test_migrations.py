"""Migrations make exactly the tables of the models, go down and up again, and never wait long for a lock."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import create_async_engine

from services.inference.settings import InferenceSettings
from shared.database.engine import create_engine as create_app_engine
from shared.database.engine import create_sessions
from shared.database.tables import Base, DetectionRow
from shared.database.tables.runs import PARTITIONS
from shared.object_store import ObjectStore
from tests.support.cards import built, card
from tests.support.servers import connected, migrate
from tests.support.world import make_world

_PARTITIONED = ("row_outcomes", "detections")


@pytest.fixture
def empty_url(database_url: str) -> Iterator[str]:
    """A database without a table."""
    server = database_url.rpartition("/")[0]
    name = f"empty_{uuid4().hex}"
    asyncio.run(_execute(f"{server}/postgres", f'CREATE DATABASE "{name}"'))
    yield f"{server}/{name}"
    asyncio.run(_execute(f"{server}/postgres", f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _execute(url: str, *statements: str) -> None:
    async with connected(url) as connection:
        for statement in statements:
            await connection.execute(statement)


async def _fetch(url: str, query: str) -> list[Any]:
    async with connected(url) as connection:
        return [row[0] for row in await connection.fetch(query)]


def tables(url: str) -> set[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    return set(asyncio.run(_fetch(url, query)))


def differences(url: str) -> list[Any]:
    """What alembic would write as a new migration."""

    def look(connection: Connection) -> list[Any]:
        def included(_: object, name: str | None, kind: str, *__: object) -> bool:
            return not (kind == "table" and name is not None and "_part_" in name)

        options = {"compare_type": True, "include_object": included}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))

    async def compare() -> list[Any]:
        engine = create_async_engine("postgresql+asyncpg://" + url.partition("://")[2])
        async with engine.connect() as connection:
            found: list[Any] = await connection.run_sync(look)
        await engine.dispose()
        return found

    return asyncio.run(compare())


def test_models_and_migrations_agree(database_url: str) -> None:
    assert differences(database_url) == []


def test_a_missing_column_would_be_noticed(database_url: str) -> None:
    asyncio.run(_execute(database_url, "ALTER TABLE segments DROP COLUMN suspect_leases"))
    assert any("suspect_leases" in repr(difference) for difference in differences(database_url))


def test_results_are_partitioned(database_url: str) -> None:
    for table in _PARTITIONED:
        query = f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{table}'::regclass"
        assert len(asyncio.run(_fetch(database_url, query))) == PARTITIONS


def test_down_to_nothing_and_up_again(empty_url: str) -> None:
    migrate(empty_url)
    there = tables(empty_url)
    assert set(Base.metadata.tables) <= there
    migrate(empty_url, "base")
    assert tables(empty_url) == {"alembic_version"}
    migrate(empty_url)
    assert tables(empty_url) == there
    assert differences(empty_url) == []


def test_down_and_up_with_rows_in_the_tables(service_environment: dict[str, str]) -> None:
    url = service_environment["DATABASE_URL"]
    asyncio.run(_seed(service_environment["OBJECT_STORE_URL"]))
    assert asyncio.run(_fetch(url, "SELECT count(*) FROM detections")) == [20]
    migrate(url, "base")
    assert tables(url) == {"alembic_version"}
    migrate(url)
    assert asyncio.run(_fetch(url, "SELECT count(*) FROM model_runs")) == [0]


def test_a_lock_is_not_waited_for_long(empty_url: str) -> None:
    said: list[str] = []

    def before(*called: Any) -> None:
        statement = str(called[2])
        if statement.lstrip().upper().startswith(("CREATE TABLE", "DROP TABLE")):
            cursor = called[1]
            cursor.execute("SHOW lock_timeout")
            said.append(cursor.fetchone()[0])

    event.listen(Engine, "before_cursor_execute", before)
    try:
        migrate(empty_url)
        migrate(empty_url, "base")
    finally:
        event.remove(Engine, "before_cursor_execute", before)
    assert len(said) > 2 * len(Base.metadata.tables)
    assert set(said) == {"5s"}


async def _seed(object_store_url: str) -> None:
    engine = create_app_engine(InferenceSettings(), "test")
    world = await make_world(create_sessions(engine), ObjectStore(object_store_url))
    rows = [await world.add_text(str(number), "words") for number in range(10)]
    model = built(card("seeded", "classification", ["a", "b"]))
    run_id = await world.start_run(model, await world.add_model(model), rows)
    async with world.sessions.begin() as session:
        session.add_all(
            DetectionRow(
                model_run_id=run_id,
                data_row_id=row,
                ordinal=ordinal,
                workspace_id=world.workspace_id,
                model_class="a",
                confidence=0.5,
                annotation={"kind": "classification"},
            )
            for row in rows
            for ordinal in range(2)
        )
    await engine.dispose()
