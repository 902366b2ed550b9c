"""Servers that the environment names in place of ours: who they are, and whether they answer before anything starts."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

import asyncpg
import redis.asyncio
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local.service import ServiceUnusable
from shared.database.address import for_sqlalchemy

_SECONDS = 5
_REFUSALS = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, SQLAlchemyError, RedisError)


def given_servers() -> Mapping[str, str]:
    """Their addresses, by variable."""
    return {name: os.environ[name] for name in _CHECKS if os.environ.get(name)}


async def check(given: Mapping[str, str]) -> None:
    """Raises ServiceUnusable for the first that does not answer."""
    for name, url in given.items():
        try:
            async with asyncio.timeout(_SECONDS):
                await _CHECKS[name](url)
        except _REFUSALS as refusal:
            why = str(refusal).partition("\n")[0] or f"no answer within {_SECONDS} s"
            raise ServiceUnusable(f"{name} names a server that cannot be used ({_place(url)}): {why}") from refusal


def _place(url: str) -> str:
    """Without user and password."""
    return (urlsplit(url).netloc or url).rpartition("@")[2]


async def _ask_postgresql(url: str) -> None:
    # As the services do, so that whatever they understand after the `?` is understood here.
    engine = create_async_engine(for_sqlalchemy(url))
    try:
        async with engine.connect():
            return
    finally:
        await engine.dispose()


async def _ask_redis(url: str) -> None:
    async with redis.asyncio.Redis.from_url(url) as client:
        await client.ping()


async def _ask_triton(url: str) -> None:
    for address in url.split(","):
        host, _, port = address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()


_CHECKS: Mapping[str, Callable[[str], Awaitable[None]]] = {
    "DATABASE_URL": _ask_postgresql,
    "REDIS_URL": _ask_redis,
    "TRITON_URL": _ask_triton,
}
