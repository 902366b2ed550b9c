"""What brings a defect to light, each a round by itself. To add one: write it below, name it in `SCENARIOS`.

`service` has the defect, or none: then the same faults leave every promise whole.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import asyncpg

from deploy.local.demo.client import Refused
from tests.faults.harness.round import Round
from tests.faults.harness.stage import Stage
from tests.faults.harness.world import World
from tests.support.world import built_models

MODEL = "sleeps-slowly"
_ROWS = 64

Start = Callable[..., Awaitable[None]]
"""Starts a service of the world in place of the one that runs; the one with the defect, with it."""
Scenario = Callable[[World, Round, Start], Awaitable[None]]


async def _stage(told: Round, rows: int = _ROWS) -> Stage:
    stage = await told.stage((f"text {number}" for number in range(rows)), MODEL)
    await told.subscribe("a", stage.topic)
    return stage


async def _worker_killed(world: World, told: Round, start: Start, crash: str) -> None:
    stage = await _stage(told)
    await start("inference-1", crash=crash)
    run = await stage.submit()
    told.faults.note(f"inference-1 kills itself at {crash}")
    await stage.ended(run)
    assert world.processes.starts("inference-1") > 1, "it was not killed"


async def _undisturbed(world: World, told: Round, start: Start) -> None:
    del world
    await start("inference-1")
    stage = await _stage(told)
    await told.subscribe("run", f"model_run:{(run := await stage.submit())}")
    await stage.ended(run)
    await stage.outcomes(run)


async def _zombie(world: World, told: Round, start: Start) -> None:
    """A worker is held still until another has taken its segment, and goes on before that has done its rows: the other
    stops itself before its first call, or it would depend on the machine who is first."""
    await start("inference-1", INFERENCE_HEARTBEAT_SECONDS="60")
    stage = await _stage(told, rows=160)
    run = await stage.submit()
    await stage.until_done(run, 8)
    told.faults.stop("inference-1")
    await start("inference-2", crash="before_call:1:stop")
    await _until_stopped(world, "inference-2")
    told.faults.cont("inference-1")
    await _until_stored(world, run)
    told.faults.cont("inference-2")
    await stage.ended(run)
    await told.faults.down("inference-2")


async def _until_stopped(world: World, service: str) -> None:
    async with asyncio.timeout(60):
        while not _is_stopped(world.processes.pid(service)):
            await asyncio.sleep(0.02)


def _is_stopped(pid: int | None) -> bool:
    return pid is not None and "State:\tT" in Path(f"/proc/{pid}/status").read_text()


async def _paused_and_cancelled(world: World, told: Round, start: Start) -> None:
    await start("inference-1")
    stage = await _stage(told, rows=160)
    await start("api")
    run = await stage.submit()
    await stage.until_done(run, 8)
    await stage.pause(run)
    await _until_stored(world, run)
    await stage.resume(run)
    await _until_stored(world, run, seconds=60)
    await stage.cancel(run)
    await _until_stored(world, run)
    await stage.outcomes(run)


async def _until_stored(world: World, run: str, seconds: float = 8) -> None:
    """Until one more batch is stored, or so long."""
    stored = "SELECT count(*) FROM audit.stores WHERE model_run_id = $1"
    before, deadline = await _fetch(world, stored, run), time.monotonic() + seconds
    while await _fetch(world, stored, run) == before and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


async def _fetch(world: World, query: str, run: str) -> int:
    connection = await asyncpg.connect(world.database_url)
    try:
        return int(await connection.fetchval(query, run))
    finally:
        await connection.close()


async def _model_away(world: World, told: Round, start: Start) -> None:
    await start("inference-1", INFERENCE_PATIENCE_SECONDS="0.2")
    stage = await _stage(told)
    run = await stage.submit()
    await stage.until_done(run, 8)
    await told.faults.unload(built_models(world.options.models)[MODEL].triton_name)
    await stage.ended(run)


async def _torn_subscriber(world: World, told: Round, start: Start) -> None:
    await start("notifier")
    stage = await _stage(told, rows=8)
    await told.subscribe("bell", "notifications")
    for subscriber in told.subscribers:
        subscriber.forbid()
        subscriber.cut()
    await stage.ended(await stage.submit())
    for subscriber in told.subscribers:
        subscriber.allow()
    del world


async def _killed_after_answers(world: World, told: Round, start: Start) -> None:
    stage = await _stage(told, rows=8)
    another = await told.stage(("text",), MODEL)
    await start("api")
    run = await stage.submit()
    items = [{"global_key": "one-more", "text": "one more"}]
    await told.gateway.post(f"{another.frontend.path}/data-rows", {"items": items})
    told.faults.kill("api")
    await world.processes.until_ready("api")
    try:
        await stage.ended(run)
    except Refused as gone:
        told.history.note("refused", why=str(gone))


SCENARIOS: Mapping[str, Scenario] = {
    "undisturbed": _undisturbed,
    "killed_before_commit": partial(_worker_killed, crash="before_commit:1"),
    "killed_after_first_commit": partial(_worker_killed, crash="after_commit:1"),
    "killed_after_third_commit": partial(_worker_killed, crash="after_commit:3"),
    "zombie": _zombie,
    "paused_and_cancelled": _paused_and_cancelled,
    "model_away": _model_away,
    "torn_subscriber": _torn_subscriber,
    "killed_after_answers": _killed_after_answers,
}
