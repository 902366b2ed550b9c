"""Two Tritons behind one address: both are called, one may go and come back, and no row is the worse for it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from deploy.local.control import StackProcess
from deploy.local.stack import ROOT, StackOptions
from services.inference.tensors import Array
from services.inference.triton import Triton
from tests.faults.harness.round import Round
from tests.faults.harness.stage import Stage
from tests.faults.harness.world import QUICK, World, WorldOptions, opened_world
from tests.support.stack import inferences
from tests.support.stand_ins import model_store, sleeps
from tests.support.world import built_models

MODEL = "sleeps-in-turn"
ROUNDS = int(os.environ.get("ROUNDS", "1"))
_ROWS = 1200
_SERVICES = ("api", "notifier", "inference-1")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def models() -> Path:
    store = ROOT / "var" / "test" / f"in-turn-{os.getpid()}" / "models"
    return model_store(store, [sleeps(slug=MODEL, batch_ms=20, row_ms=8, max_batch=8)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(models: Path) -> AsyncIterator[World]:
    async with opened_world(models.parent / "world", WorldOptions(models, QUICK, services=())) as found:
        yield found


@pytest.fixture(scope="module")
def other(models: Path, world: World) -> Iterator[StackProcess]:
    """A Triton more; of the other servers it is told, so that it starts none."""
    given = {"DATABASE_URL": world.addresses.database_url, "REDIS_URL": world.addresses.redis_url}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in given.items():
            environment.setenv(name, value)
        options = StackOptions(state=models.parent / "other", models=models, free_ports=True, servers_only=True)
        with StackProcess(options) as stack:
            yield stack
        stack.remove()


async def _called(stack: StackProcess) -> int:
    """How many rows it has answered since its start."""
    return sum((await inferences(stack)).values())


async def _until_called(stack: StackProcess, seconds: float = 60) -> float:
    """Seconds until it answers more than it has so far."""
    before, began = await _called(stack), time.monotonic()
    async with asyncio.timeout(seconds):
        while await _called(stack) <= before:
            await asyncio.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_one_of_two_is_killed_and_comes_back(
    world: World, other: StackProcess, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    both = f"{world.addresses.triton_url},{other.addresses.triton_url}"
    for name in _SERVICES:
        await world.start(name, TRITON_URL=both)
    async with world.round(f"in-turn-{number}") as told:
        stage = await told.stage((f"{number} text {row}" for row in range(_ROWS)), MODEL)
        await told.subscribe("a", stage.topic)
        run = await stage.submit()
        await asyncio.gather(_until_called(world.stack), _until_called(other))
        moved, returned = await _killed_and_back(told, other, stage, run)
        ended = await stage.ended(run)
        assert (ended["state"], ended["succeeded"]) == ("completed", _ROWS)
        assert await told.violations() == []
    with capsys.disabled():
        print(f"\nround {number}: on the other after {moved:.2f} s, on the returned after {returned:.2f} s")  # noqa: T201


async def _killed_and_back(told: Round, other: StackProcess, stage: Stage, run: str) -> tuple[float, float]:
    """Seconds until a row was stored after the kill, and until the one that came back was called again."""
    restarts = other.status().services["triton"].restarts
    told.faults.note("kill", "the other triton")
    other.kill("triton")
    began, done = time.monotonic(), (await stage.run(run))["done"]
    found = await stage.until_done(run, done + 1)
    moved = time.monotonic() - began
    assert found["state"] == "running", "it waits while a Triton is there"
    await asyncio.to_thread(other.wait_until_ready, "triton", restarts=restarts + 1)
    if (await stage.run(run))["state"] != "running":  # on a slow machine the one that stayed was done first
        await stage.submit(reuse=False)
    return moved, await _until_called(other)


async def test_servers_that_come_and_go_are_called_from_then_on(
    world: World, other: StackProcess, models: Path
) -> None:
    one, two = world.addresses.triton_url, other.addresses.triton_url
    built = built_models(models)[MODEL]
    inputs: dict[str, Array] = {"text": np.zeros((1, 4), np.uint8), "length": np.array([[4]], np.int32)}
    triton = Triton(one, 20)

    async def counted() -> tuple[int, int]:
        before = await _called(world.stack), await _called(other)
        await asyncio.gather(*(triton.infer(built.triton_name, built.card, inputs) for _ in range(10)))
        return await _called(world.stack) - before[0], await _called(other) - before[1]

    try:
        for name in _SERVICES:  # who also calls would be counted too
            if name in world.processes.names():
                await world.processes.end(name)
        assert await counted() == (10, 0)
        under_way = asyncio.create_task(triton.infer(built.triton_name, built.card, inputs))
        await asyncio.sleep(0)
        assert triton.reach([one, two])
        await under_way
        await _until_both(counted)
        assert await triton.instances(built.triton_name) == 2
        assert triton.reach([two])
        assert await counted() == (0, 10)
    finally:
        await triton.close()


async def _until_both(counted: Callable[[], Awaitable[tuple[int, int]]]) -> None:
    """A line is connected server by server."""
    async with asyncio.timeout(30):
        while not all(await counted()):
            await asyncio.sleep(0.05)
