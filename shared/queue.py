"""The job queue. This is the only module that knows arq, which is no more than a doorbell here.

Why each option: `keep_result=0`, since a kept result silently blocks a job; `max_tries=1`, since PostgreSQL decides
what is done again; JSON in place of pickle; retries, since arq exits when Redis blips otherwise.

A ring goes two ways: it is published, which wakes those who listen at once, and it is a job, which arq finds when it
looks once a second. Whoever has heard a ring does nothing when its job comes. arq's own way takes some ten round trips.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import orjson
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from shared.contracts.jobs import RING, Doorbell
from shared.ending import end_tasks
from shared.ids import new_id
from shared.telemetry import logger
from shared.tracing import span, traceparent

_RUNG = "prelabel:rung:"
_LOOK_SECONDS = 1.0
_REMEMBERED = 1024
_RESTART_SECONDS = 1.0
_GOODBYE_SECONDS = 1.0
_RETRY_ON: list[type[Exception]] = [
    ConnectionError,
    RedisTimeout,
    BusyLoadingError,
    OSError,
]

log = logger(__name__)


class JobQueue:
    """Rings doorbells. Connects when first used, so a process starts while Redis is away."""

    def __init__(self, url: str) -> None:
        pool = ConnectionPool.from_url(url, socket_connect_timeout=1, socket_timeout=5)
        self._redis = ArqRedis(pool, job_serializer=orjson.dumps)

    async def ring(self, doorbell: Doorbell, times: int = 1) -> None:
        """For that many pieces of work."""
        with span("ring", kind="producer", doorbell=doorbell.value):
            job, trace = new_id().hex, traceparent()
            await self._redis.publish(_RUNG + doorbell.value, orjson.dumps([job, trace, times]))
            await self._redis.enqueue_job(RING, trace, times, _job_id=job, _queue_name=doorbell.value)

    async def ping(self) -> None:
        """Raises RedisError or OSError when Redis is away."""
        await self._redis.ping()

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):  # nobody waits for its goodbye
            await self._redis.aclose(close_connection_pool=True)


OnRing: TypeAlias = Callable[[int], Awaitable[None]]
"""Gets for how many pieces of work it was rung."""


async def answer_doorbell(url: str, doorbell: Doorbell, on_ring: OnRing) -> None:
    """Call `on_ring` for every ring, for ever; comes back by itself when Redis was away for long."""
    bell = _Bell(doorbell, on_ring)
    listening = asyncio.create_task(_listen(url, bell))
    try:
        await _answer(url, bell)
    finally:
        await end_tasks({listening})


class _Bell:
    """Answers each ring once, whichever way it comes."""

    def __init__(self, doorbell: Doorbell, on_ring: OnRing) -> None:
        self.name = doorbell.value
        self._on_ring = on_ring
        self._answered: deque[str] = deque(maxlen=_REMEMBERED)

    async def hear(self, message: bytes) -> None:
        try:
            job, trace, times = orjson.loads(message)
        except (ValueError, TypeError):  # another release may say no more than that it rang
            job, trace, times = "", None, 1
        await self.answer(job, trace, times)

    async def find(self, ctx: dict[Any, Any], trace: str | None = None, times: int = 1) -> None:
        """The job of a ring."""
        await self.answer(ctx["job_id"], trace, times)

    async def answer(self, job: str, trace: str | None, times: int) -> None:
        if job in self._answered:
            return
        if job:
            self._answered.append(job)
        with span("wake", kind="consumer", parent=trace, doorbell=self.name):
            await self._on_ring(times)


async def _listen(url: str, bell: _Bell) -> None:
    """For ever. What is lost while Redis is away is found by the next look."""
    async with Redis.from_url(url, socket_connect_timeout=1) as redis:
        while True:
            try:
                async with redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(_RUNG + bell.name)
                    async for message in channel.listen():
                        await bell.hear(message["data"])
            except (RedisError, OSError):
                await asyncio.sleep(_RESTART_SECONDS)


async def _answer(url: str, bell: _Bell) -> None:
    while True:
        redis = _patient_redis(url)
        worker = Worker(
            functions=[func(bell.find, name=RING, keep_result=0, max_tries=1)],
            queue_name=bell.name,
            redis_pool=redis,
            handle_signals=False,
            keep_result=0,
            max_tries=1,
            retry_jobs=False,
            poll_delay=_LOOK_SECONDS,
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
            await _leave(worker)
            with contextlib.suppress(RedisError, OSError):
                await redis.aclose(close_connection_pool=True)
        await asyncio.sleep(_RESTART_SECONDS)


async def _leave(worker: Worker) -> None:
    """It says goodbye to a Redis that may be away, and to jobs that may have been cancelled."""
    goodbye = asyncio.create_task(worker.close())
    try:
        await asyncio.wait({goodbye}, timeout=_GOODBYE_SECONDS)
    finally:
        await end_tasks({goodbye})


def _patient_redis(url: str) -> ArqRedis:
    retry = Retry(ExponentialBackoff(cap=1, base=0.05), 60)
    pool = ConnectionPool.from_url(url, retry=retry, retry_on_error=_RETRY_ON, retry_on_timeout=True)
    return ArqRedis(pool, job_serializer=orjson.dumps, job_deserializer=orjson.loads)
