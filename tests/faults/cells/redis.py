"""What may happen to Redis. It is the doorbell only: nothing is lost with it, and nothing waits for it."""

import asyncio

from tests.faults.breaking import kill_server
from tests.faults.trial import Trial

STOPPED_SECONDS = 20.0
_ACCEPTED_SECONDS = 20.0


async def killed_and_empty(trial: Trial) -> None:
    attempt = await trial.begin()
    await trial.moment()
    await kill_server(trial.told, "valkey", forget="appendonlydir")
    await trial.goes_on(attempt, "redis")
    await trial.completed(attempt)


async def emptied(trial: Trial) -> None:
    """FLUSHALL, some times, between the submit and the end."""
    attempt = await trial.begin()
    for _ in range(4):
        await trial.moment(0.8)
        await trial.faults.flush_redis()
    await trial.completed(attempt)


async def stopped(trial: Trial) -> None:
    """It takes connections and never answers. What runs goes on, and a submit is accepted all the same."""
    attempt = await trial.begin()
    await trial.moment(2.0)
    pausing = asyncio.create_task(trial.faults.pause(STOPPED_SECONDS, "valkey"))
    await asyncio.sleep(1)
    await trial.goes_on(attempt, "a stopped redis")
    async with asyncio.timeout(_ACCEPTED_SECONDS + STOPPED_SECONDS):
        began = asyncio.get_running_loop().time()
        second = await trial.begin(rows=64)
        took = asyncio.get_running_loop().time() - began
    if took > _ACCEPTED_SECONDS:
        trial.wrong(f"a submit took {took:.0f} s while Redis was stopped")
    await trial.completed(attempt)
    await pausing
    await trial.completed(second)
