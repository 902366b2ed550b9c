"""What may happen to the api."""

import asyncio

from tests.faults.trial import Attempt, Trial

_SUBMITS, _ROWS = 4, 64


async def killed_during_submit(trial: Trial) -> None:
    """The client repeats with its key until it is answered: each submit is one run, however often it was sent."""
    stage, texts = await trial.stage(_ROWS)
    attempts = []
    for _ in range(_SUBMITS):
        submitting = asyncio.create_task(stage.submit())
        await asyncio.sleep(trial.random.uniform(0, 0.08))
        trial.faults.kill("api")
        attempts.append(Attempt(stage, await submitting, texts))
        trial.rows += _ROWS
    runs = [one["id"] async for one in stage.frontend.gateway.pages(f"{stage.frontend.path}/model-runs")]
    if sorted(runs) != sorted(attempt.run_id for attempt in attempts):
        trial.wrong(f"{_SUBMITS} submits made {len(runs)} runs")
    for attempt in attempts:
        await trial.completed(attempt)


async def killed_during_a_run(trial: Trial) -> None:
    """Nobody needs it to go on."""
    attempt = await trial.begin()
    await trial.moment()
    trial.faults.kill("api")
    await trial.goes_on(attempt, "api")
    await trial.completed(attempt)


async def cancelled_while_workers_die(trial: Trial) -> None:
    """A cancel is final, whoever dies around it."""
    attempt = await trial.begin()
    await trial.moment(2.5)
    killing = asyncio.create_task(_kill_soon(trial))
    run = await attempt.stage.cancel(attempt.run_id)
    if run["state"] != "cancelled":
        trial.wrong(f"the cancelled run is {run['state']}")
    told = await trial.outcomes(attempt)
    await killing
    await asyncio.sleep(3)
    if await trial.outcomes(attempt) != told:
        trial.wrong("outcomes changed after the cancel was answered")
    await trial.check_answers(attempt, {}, whole=False)


async def _kill_soon(trial: Trial) -> None:
    await asyncio.sleep(trial.random.uniform(0, 0.1))
    trial.faults.kill("inference-1")
