"""Services are replaced, one after the other and all together, and nobody notices. ROUNDS=10 plays ten of them."""

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.local.stack import ROOT
from tests.faults.harness.history import Entry
from tests.faults.rolling import (
    GRACE_SECONDS,
    REPLICAS,
    BalancedWorld,
    Load,
    failed_requests,
    opened_balanced_world,
)
from tests.support.stand_ins import model_store, sleeps

MODEL = "sleeps-meanwhile"
ROUNDS = int(os.environ.get("ROUNDS", "1"))
_ROWS = 2000

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[BalancedWorld]:
    folder = ROOT / "var" / "test" / f"rolling-{os.getpid()}"
    models = model_store(folder / "models", [sleeps(slug=MODEL, batch_ms=20, row_ms=8, max_batch=8)])
    async with opened_balanced_world(folder / "world", models) as found:
        yield found


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_every_service_is_replaced_and_nothing_is_lost(
    world: BalancedWorld, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async with world.round(f"rolling-{number}") as told:
        stage = await told.stage((f"{number} text {row}" for row in range(_ROWS)), MODEL)
        for name in ("a", "b", "c"):
            await told.subscribe(name, stage.topic)
        finished = await stage.submit(limit=32)
        await stage.ended(finished)
        run = await stage.submit()
        load = Load(told, stage, finished)
        async with load.going_on():
            await stage.until_done(run, 8)
            for kind in REPLICAS:
                told.history.fault(f"replace {kind}")
                await world.replace(kind)
            told.history.fault("replace everything")
            await world.replace_all()
        ended = await stage.ended(run)
        frames = list(told.history.frames())
        with capsys.disabled():
            print(_summary(world, told.history.entries, load, len(frames), number))  # noqa: T201
        assert (ended["state"], ended["succeeded"]) == ("completed", _ROWS)
        assert failed_requests(told) == []
        assert load.bad == []
        assert all(load.done.values())
        assert len(load.done) == 4
        assert await told.violations() == []
        assert all(
            max(one["connection"] for one in frames if one["subscriber"] == name) > 1 for name in ("a", "b", "c")
        )
        assert max(seconds for ends in world.ends.values() for seconds in ends) < GRACE_SECONDS


def _connections(frames: list[Entry], subscriber: str) -> int:
    return max(int(one["connection"]) for one in frames if one["subscriber"] == subscriber)


def _summary(world: BalancedWorld, entries: list[Entry], load: Load, frames: int, number: int) -> str:
    requests = sum(one["kind"] == "http" for one in entries)
    ends = ", ".join(f"{kind} {max(seconds):.1f} s" for kind, seconds in world.ends.items())
    return f"\nround {number}: {requests} requests, {frames} frames, {load.done}; longest ends: {ends}"
