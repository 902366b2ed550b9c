"""Runs migrations against DATABASE_URL, with limits so that a busy table is never locked for long."""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.database.address import for_sqlalchemy
from shared.database.tables import Base

_LOCK_TIMEOUT = "5s"


def _url() -> str:
    url = context.config.get_main_option("sqlalchemy.url") or os.environ["DATABASE_URL"]
    return for_sqlalchemy(url)


def _include(_: object, name: str | None, kind: str, *__: object) -> bool:
    # Partitions are made with their table and are not in the metadata.
    return not (kind == "table" and name is not None and "_part_" in name)


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=_include,
        compare_type=True,
        compare_server_default=False,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
        context.run_migrations()


async def _online() -> None:
    engine = create_async_engine(_url())
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


asyncio.run(_online())
