"""The doorbell on a real Valkey: a ring reaches a worker within milliseconds, by either way, and is answered once. A
dead Redis fails only the ring."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.contracts.jobs import Doorbell
from shared.queue import JobQueue, answer_doorbell

PUBLISHED = f"prelabel:rung:{Doorbell.OPERATIONS.value}"


async def test_a_ring_is_answered_at_once(redis_url: str) -> None:
    rung = asyncio.Event()

    async def on_ring(times: int) -> None:
        del times
        rung.set()

    queue = JobQueue(redis_url)
    worker = asyncio.create_task(answer_doorbell(redis_url, Doorbell.OPERATIONS, on_ring))
    await queue.ring(Doorbell.OPERATIONS)
    await asyncio.wait_for(rung.wait(), 10)  # the worker starts meanwhile
    for _ in range(3):
        rung.clear()
        began = time.monotonic()
        await queue.ring(Doorbell.OPERATIONS)
        await asyncio.wait_for(rung.wait(), 5)
        assert time.monotonic() - began < 1.5, "well under the two seconds an idle worker looks by itself"
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    await queue.close()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.02)


async def test_a_ring_is_answered_once_though_it_comes_two_ways(redis_url: str) -> None:
    heard: list[int] = []

    async def on_ring(times: int) -> None:
        heard.append(times)

    queue = JobQueue(redis_url)
    async with Redis.from_url(redis_url) as redis:

        async def listens() -> bool:
            ((_, count),) = await redis.pubsub_numsub(PUBLISHED)
            return int(count) == 1

        async def taken() -> bool:
            return int(await redis.zcard(Doorbell.OPERATIONS.value)) == 0

        await redis.delete(Doorbell.OPERATIONS.value)
        await queue.ring(Doorbell.OPERATIONS, 1)  # nobody listens yet: arq finds its job
        worker = asyncio.create_task(answer_doorbell(redis_url, Doorbell.OPERATIONS, on_ring))
        await until(listens)
        await until(taken)
        for times in (2, 3):
            await queue.ring(Doorbell.OPERATIONS, times)
        await redis.publish(PUBLISHED, b"")  # as another release does, which says nothing more
        await redis.publish(PUBLISHED, b"[]")
        await until(taken)
        await queue.ring(Doorbell.OPERATIONS, 4)
        await until(taken)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    await queue.close()
    assert sorted(heard) == [1, 1, 1, 2, 3, 4]


async def test_a_ring_without_redis_says_so() -> None:
    queue = JobQueue("redis://127.0.0.1:1/0")
    with pytest.raises((RedisError, OSError)):
        await queue.ring(Doorbell.RUNS)
    await queue.close()
