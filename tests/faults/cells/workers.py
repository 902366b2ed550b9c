"""What may happen to an inference worker."""

import asyncio
from collections.abc import Sequence
from functools import partial

from tests.faults.arena import ELSEWHERE, WORKERS
from tests.faults.trial import Trial

ZOMBIE_SECONDS = 30.0


async def killed(trial: Trial) -> None:
    """One of two, at a random moment."""
    attempt = await trial.begin()
    await trial.moment()
    worker = trial.random.choice(WORKERS)
    pid = trial.world.processes.pid(worker)
    trial.faults.kill(worker)
    await trial.taken_over(attempt, pid)
    await trial.completed(attempt)


async def killed_at(point: str, trial: Trial) -> None:
    """Both kill themselves there: one after a few passes, the other later. Each is started again, without that."""
    starts = {}
    for worker, most in zip(WORKERS, (5, 15), strict=True):
        await trial.faults.down(worker)
        crash = f"{point}:{trial.random.randint(1, most)}"
        trial.note(f"crash {worker} at {crash}")
        await trial.world.start(worker, crash=crash)
        starts[worker] = trial.world.processes.starts(worker)
    attempt = await trial.begin()
    await trial.completed(attempt)
    if all(trial.world.processes.starts(worker) == count for worker, count in starts.items()):
        trial.wrong(f"no worker came to {point}")


async def killed_again_and_again(trial: Trial) -> None:
    """One or the other every second or so: every lease ends with a death, and no row is to blame."""
    attempt = await trial.begin()
    for _ in range(6):
        await trial.moment(2.0)
        trial.faults.kill(trial.random.choice(WORKERS))
    await trial.completed(attempt)


async def stopped_and_continued(trial: Trial) -> None:
    """A zombie: its lease runs out, another worker goes on, and what it still believes to hold it may not write."""
    attempt = await trial.begin(rows=2400)
    await trial.moment()
    worker = trial.random.choice(WORKERS)
    pid = trial.world.processes.pid(worker)
    trial.faults.stop(worker)
    waking = asyncio.create_task(asyncio.sleep(ZOMBIE_SECONDS))
    await trial.taken_over(attempt, pid)
    await waking
    trial.faults.cont(worker)
    await trial.completed(attempt)


async def told_to_stop(trial: Trial) -> None:
    """SIGTERM: the batches under way end, the rest is given back, and nobody is taken for dead."""
    attempt = await trial.begin()
    await trial.moment(2.5)
    worker = trial.random.choice(WORKERS)
    start = trial.world.processes.starts(worker)
    trial.faults.term(worker)
    await trial.world.processes.until_ended(worker, start, seconds=30)
    await trial.completed(attempt)
    (row,) = await trial.fetch(
        "SELECT sum(takeovers) AS takeovers FROM segments WHERE model_run_id = $1", attempt.run_id
    )
    if row["takeovers"]:
        trial.wrong(f"{row['takeovers']} segments of a worker that was told to stop had to be taken over")


async def killed_by_a_row(trial: Trial) -> None:
    """A row that kills every worker that sends it: it fails after three of them, and none of its neighbours does."""
    world, deaths = trial.world, 0
    await trial.faults.down("inference-2")

    async def kill(texts: Sequence[bytes]) -> None:
        nonlocal deaths
        if any(b"#kills#" in text for text in texts):
            deaths += 1
            trial.faults.kill("inference-1")
            await asyncio.sleep(1)

    trial.faulty.before = kill
    attempt = await trial.begin(rows=200, model=ELSEWHERE, marks=["#kills#"])
    await trial.completed(attempt, failed={"#kills#": "worker_crashed"})
    trial.faulty.heal()
    if deaths != 3:
        trial.wrong(f"the row cost {deaths} workers, expected 3")
    for row in (await trial.outcomes(attempt)).values():
        if row["state"] == "failed" and (row["stage"], row["attempts"]) != ("inference", 3):
            trial.wrong(f"the row that kills has stage {row['stage']} and {row['attempts']} attempts")
    await world.start("inference-2")


before_the_call = partial(killed_at, "before_call")
after_the_call = partial(killed_at, "after_call")
before_commit = partial(killed_at, "before_commit")
after_commit = partial(killed_at, "after_commit")
after_publish = partial(killed_at, "after_publish")
