"""What may happen to PostgreSQL."""

import asyncio

from tests.faults.breaking import end_in_commit, kill_backend, kill_server
from tests.faults.trial import Trial

_KILLS = 3


async def killed_every_few_seconds(trial: Trial) -> None:
    """All of it at once, as when the machine loses its power; it comes back by its log."""
    attempt = await trial.begin(rows=1200)
    for _ in range(_KILLS):
        await asyncio.sleep(trial.random.uniform(1, 4))
        await kill_server(trial.told, "postgres")
        await trial.goes_on(attempt, "postgres")
    await trial.completed(attempt)


async def connection_ended_in_commit(trial: Trial) -> None:
    """The commit is on the disk, the worker is told of a lost connection: it must find out, not do it twice."""
    attempt = await trial.begin()
    await trial.moment(2.0)
    await end_in_commit(trial.told, "prelabel-inference")
    await trial.goes_on(attempt, "postgres")
    await trial.completed(attempt)


async def connections_ended(trial: Trial) -> None:
    """Those of workers and api, in the middle of whatever they do."""
    attempt = await trial.begin()
    for _ in range(10):
        await trial.moment(0.4)
        application = trial.random.choice(("prelabel-inference", "prelabel-api", "prelabel-notifier"))
        await trial.faults.kill_backends(application, limit=trial.random.randint(1, 5))
    await trial.completed(attempt)


async def one_backend_killed(trial: Trial) -> None:
    """SIGKILL to one process of the server while it stores a batch: all of them are restarted."""
    attempt = await trial.begin()
    await trial.moment(2.5)
    await kill_backend(trial.told, "prelabel-inference")
    await trial.goes_on(attempt, "postgres")
    await trial.completed(attempt)
