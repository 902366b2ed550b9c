"""The job queue. This is the only module that knows arq, which is no more than a doorbell here.

Why each option: `keep_result=0`, since a kept result silently blocks a job; `max_tries=1`, since PostgreSQL decides
what is done again; JSON in place of pickle; retries, since arq exits when Redis blips otherwise; a short poll.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, func
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError, TimeoutError

from shared.contracts.jobs import RING, Doorbell
from shared.telemetry import logger

_POLL_SECONDS = 0.02
_RESTART_SECONDS = 1.0
_RETRY_ON: list[type[Exception]] = [
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    OSError,
]

log = logger(__name__)


class JobQueue:
    """Rings doorbells. Connects when first used, so a process starts while Redis is away."""

    def __init__(self, url: str) -> None:
        self._redis: ArqRedis = ArqRedis.from_url(
            url, socket_connect_timeout=1, socket_timeout=5, job_serializer=orjson.dumps
        )

    async def ring(self, doorbell: Doorbell, times: int = 1) -> None:
        for _ in range(times):
            await self._redis.enqueue_job(RING, _queue_name=doorbell.value)

    async def ping(self) -> None:
        """Raises RedisError or OSError when Redis is away."""
        await self._redis.ping()

    async def close(self) -> None:
        await self._redis.aclose()


async def answer_doorbell(url: str, doorbell: Doorbell, on_ring: Callable[[], Awaitable[None]]) -> None:
    """Call `on_ring` for every ring, for ever; comes back by itself when Redis was away for long."""

    async def ring(ctx: dict[Any, Any], *_: Any, **__: Any) -> None:
        del ctx
        await on_ring()

    while True:
        worker = Worker(
            functions=[func(ring, name=RING, keep_result=0, max_tries=1)],
            queue_name=doorbell.value,
            redis_settings=_redis_settings(url),
            handle_signals=False,
            keep_result=0,
            max_tries=1,
            retry_jobs=False,
            poll_delay=_POLL_SECONDS,
            job_timeout=60,
            job_serializer=orjson.dumps,
            job_deserializer=orjson.loads,
            log_results=False,
        )
        try:
            await worker.async_run()
        except (RedisError, OSError) as error:
            log.warning("doorbell_away", error=type(error).__name__)
        finally:
            await worker.close()
        await asyncio.sleep(_RESTART_SECONDS)


def _redis_settings(url: str) -> RedisSettings:
    # Not `from_dsn`: it does not decode passwords.
    parts = urlsplit(url)
    return RedisSettings(
        host=parts.hostname or "localhost",
        port=parts.port or 6379,
        database=int(parts.path.strip("/") or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        ssl=parts.scheme == "rediss",
        conn_retries=60,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 60),
        retry_on_error=_RETRY_ON,
        retry_on_timeout=True,
    )
