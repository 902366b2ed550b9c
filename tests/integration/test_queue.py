"""The doorbell on a real Valkey: a ring reaches a worker within milliseconds, and a dead Redis fails only the ring."""

import asyncio
import time

import pytest
from redis.exceptions import RedisError

from shared.contracts.jobs import Doorbell
from shared.queue import JobQueue, answer_doorbell


async def test_a_ring_is_answered_at_once(redis_url: str) -> None:
    rung = asyncio.Event()

    async def on_ring() -> None:
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


async def test_a_ring_without_redis_says_so() -> None:
    queue = JobQueue("redis://127.0.0.1:1/0")
    with pytest.raises((RedisError, OSError)):
        await queue.ring(Doorbell.RUNS)
    await queue.close()
