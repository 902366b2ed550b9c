"""Real PostgreSQL, Valkey and Triton for the whole test session, and a database of its own for each test."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, Addresses, StackOptions

MODELS = ROOT / "var" / "models"
PICTURES = ROOT / "var" / "pictures"
TEXTS = ROOT / "var" / "texts"
_TEMPLATE = "prelabel_template"


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """The addresses of the three servers; they end with the session, however it ends."""
    state = ROOT / "var" / "test" / f"servers-{os.getpid()}"
    with StackProcess(StackOptions(state=state, free_ports=True, servers_only=True)) as stack:
        migrate(_with_database(stack.addresses.database_url, _TEMPLATE))
        yield stack.addresses
    stack.remove()


@contextmanager
def fresh_database(servers: Addresses) -> Iterator[str]:
    """The URL of a migrated, empty database that nobody else uses."""
    name = f"test_{uuid4().hex}"
    asyncio.run(_execute(servers.database_url, f'CREATE DATABASE "{name}" TEMPLATE "{_TEMPLATE}"'))
    yield _with_database(servers.database_url, name)
    asyncio.run(_execute(servers.database_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def database_url(servers: Addresses) -> Iterator[str]:
    """A database of its own for the test."""
    with fresh_database(servers) as url:
        yield url


@pytest.fixture
def redis_url(servers: Addresses) -> str:
    return servers.redis_url


@pytest.fixture
def triton_url(servers: Addresses) -> str:
    return servers.triton_url


@pytest.fixture
def object_store_url(tmp_path: Path) -> str:
    return f"file://{tmp_path / 'objects'}"


@pytest.fixture
def service_environment(
    servers: Addresses, database_url: str, object_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """What a service reads at its start, set for this test."""
    environment = {
        **servers.environment(),
        "DATABASE_URL": database_url,
        "OBJECT_STORE_URL": object_store_url,
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "WARNING",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def migrate(url: str, revision: str = "head") -> None:
    """Make the database when it is not there, and bring it to a revision."""
    asyncio.run(_create(url))
    (command.downgrade if revision == "base" else command.upgrade)(alembic_config(url), revision)


def alembic_config(url: str) -> Config:
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _create(url: str) -> None:
    server, _, name = url.rpartition("/")
    async with connected(f"{server}/postgres") as connection:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')


async def _execute(url: str, statement: str) -> None:
    async with connected(_with_database(url, "postgres")) as connection:
        await connection.execute(statement)


def _with_database(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"
