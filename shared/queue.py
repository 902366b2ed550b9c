"""The job queue. This is the only module that knows arq, which is no more than a doorbell here.

Why each option: `keep_result=0`, since a kept result silently blocks a job; `max_tries=1`, since PostgreSQL decides
what is done again; JSON in place of pickle; retries, since arq exits when Redis blips otherwise.

arq polls, which at 20 ms costs an idle process a tenth of a core. So a ring is published too, and arq looks when one is
heard, or else once a second.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from arq.connections import ArqRedis
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from shared.contracts.jobs import RING, Doorbell
from shared.ending import end_tasks
from shared.telemetry import logger
from shared.tracing import span, traceparent

_RUNG = "prelabel:rung:"
_LOOK_SECONDS = 1.0
_LEAST_PAUSE_SECONDS = 0.005
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
        with span("ring", kind="producer", doorbell=doorbell.value):
            trace = traceparent()
            carried = () if trace is None else (trace,)
            for _ in range(times):
                await self._redis.enqueue_job(RING, *carried, _queue_name=doorbell.value)
        await self._redis.publish(_RUNG + doorbell.value, b"")

    async def ping(self) -> None:
        """Raises RedisError or OSError when Redis is away."""
        await self._redis.ping()

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):  # nobody waits for its goodbye
            await self._redis.aclose(close_connection_pool=True)


class _Bell(Worker):
    """arq's worker, which looks when it has heard of a ring."""

    def __init__(self, heard: asyncio.Event, **options: Any) -> None:
        super().__init__(**options)
        self._heard = heard

    async def _poll_iteration(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._heard.wait()
        self._heard.clear()
        await super()._poll_iteration()


async def answer_doorbell(url: str, doorbell: Doorbell, on_ring: Callable[[], Awaitable[None]]) -> None:
    """Call `on_ring` for every ring, for ever; comes back by itself when Redis was away for long."""

    async def ring(ctx: dict[Any, Any], trace: str | None = None, *_: Any, **__: Any) -> None:
        del ctx
        with span("wake", kind="consumer", parent=trace, doorbell=doorbell.value):
            await on_ring()

    heard = asyncio.Event()
    listening = asyncio.create_task(_listen(url, doorbell, heard))
    try:
        await _answer(url, doorbell, ring, heard)
    finally:
        await end_tasks({listening})


async def _listen(url: str, doorbell: Doorbell, heard: asyncio.Event) -> None:
    """For ever. What is lost while Redis is away is found by the next look."""
    async with Redis.from_url(url, socket_connect_timeout=1) as redis:
        while True:
            try:
                async with redis.pubsub() as channel:
                    await channel.subscribe(_RUNG + doorbell.value)
                    async for _ in channel.listen():
                        heard.set()
            except (RedisError, OSError):
                await asyncio.sleep(_RESTART_SECONDS)


async def _answer(url: str, doorbell: Doorbell, ring: WorkerCoroutine, heard: asyncio.Event) -> None:
    while True:
        redis = _patient_redis(url)
        worker = _Bell(
            heard,
            functions=[func(ring, name=RING, keep_result=0, max_tries=1)],
            queue_name=doorbell.value,
            redis_pool=redis,
            handle_signals=False,
            keep_result=0,
            max_tries=1,
            retry_jobs=False,
            poll_delay=_LEAST_PAUSE_SECONDS,
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
        goodbye.cancel()
    if goodbye.done() and not goodbye.cancelled() and isinstance(error := goodbye.exception(), Exception):
        log.info("doorbell_left", error=type(error).__name__)


def _patient_redis(url: str) -> ArqRedis:
    retry = Retry(ExponentialBackoff(cap=1, base=0.05), 60)
    pool = ConnectionPool.from_url(url, retry=retry, retry_on_error=_RETRY_ON, retry_on_timeout=True)
    return ArqRedis(pool, job_serializer=orjson.dumps, job_deserializer=orjson.loads)
