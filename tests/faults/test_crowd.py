"""Hundreds of websocket clients follow a run while parts are killed, emptied and replaced: each of them misses nothing.

Every client sees every offset once and in order, or is told to refetch, and only where what it missed is not there any
more; the checker of the harness looks at each one. ROUNDS=10 plays ten rounds, CLIENTS=500 with more of them.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from deploy.local.stack import ROOT
from tests.faults.breaking import kill_server, restart_server
from tests.faults.crowd import Crowd, crowded
from tests.faults.rolling import BalancedWorld, opened_balanced_world
from tests.support.stand_ins import model_store, sleeps

MODEL = "sleeps-before-many"
ROUNDS, CLIENTS = int(os.environ.get("ROUNDS", "1")), int(os.environ.get("CLIENTS", "200"))
REPLICAS = {"api": 1, "notifier": 2, "inference": 2}
_ROWS = 300
_STOPPED_RENAMES = 3

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    # Round after round: a server that ends again and again within seconds is given up by its supervisor.
    pytest.mark.parametrize("number", range(1, ROUNDS + 1), scope="module"),
]

Show = Callable[[str], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[BalancedWorld]:
    folder = ROOT / "var" / "test" / f"crowd-{os.getpid()}"
    models = model_store(folder / "models", [sleeps(slug=MODEL, batch_ms=40, row_ms=12, max_batch=8)])
    # The notifiers look at the log as often as they do by default: what the poll is for is seen here.
    async with opened_balanced_world(folder / "world", models, REPLICAS, NOTIFIER_POLL_SECONDS="1") as found:
        yield found


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    def print_(text: str) -> None:
        with capsys.disabled():
            print(text)  # noqa: T201

    return print_


@asynccontextmanager
async def following(world: BalancedWorld, name: str, show: Show) -> AsyncIterator[tuple[Crowd, str]]:
    """A crowd that follows a run, which is under way in the block and has ended after it; then each is judged."""
    async with world.round(name.replace(" ", "-")) as told:
        stage = await told.stage((f"{name} {row}" for row in range(_ROWS)), MODEL)
        async with crowded(told, stage, CLIENTS) as crowd:
            run = await stage.submit()
            await stage.pause(run)  # until those who follow only it are there
            await crowd.join(CLIENTS // 10, f"model_run:{run}")
            await stage.resume(run)
            await stage.until_done(run, 8)
            yield crowd, run
            ended = await stage.ended(run)
        assert (ended["state"], ended["succeeded"]) == ("completed", _ROWS)
        violations = await told.violations()
        show(crowd.summary(name))
        assert violations == []
        ends = crowd.ends(run)
        for client in crowd.clients:
            end = ends[client.name]
            assert end["total"] == end["succeeded"] + end["failed"] + end["skipped"] == _ROWS


async def test_a_run_that_nothing_disturbs(world: BalancedWorld, number: int, show: Show) -> None:
    """Progress rises, at most five times a second, and the run's last event is its last word, with exact counters."""
    async with following(world, f"undisturbed {number}", show) as (crowd, run):
        pass
    told = crowd.progress(run)
    for client in crowd.clients:
        done = [message["done"] for message in told[client.name]]
        assert done == sorted(done)
        assert len(done) > 1 or client.topic == "notifications"
    assert {message["total"] for messages in told.values() for message in messages} == {_ROWS}
    assert set(crowd.connections()) == {1}


async def test_notifiers_are_killed(world: BalancedWorld, number: int, show: Show) -> None:
    async with following(world, f"notifiers killed {number}", show) as (crowd, _):
        for _ in range(2):
            for name in list(world.running["notifier"]):
                crowd.told.faults.kill(name)
                await asyncio.sleep(0.7)
        await crowd.until_all_have_heard()
    assert min(crowd.connections()) > 1


async def test_notifiers_are_replaced_in_turn(world: BalancedWorld, number: int, show: Show) -> None:
    async with following(world, f"notifiers replaced {number}", show) as (crowd, _):
        crowd.told.faults.note("replace the notifiers")
        await world.replace("notifier")
        await crowd.until_all_have_heard()
    assert min(crowd.connections()) > 1


async def test_redis_is_emptied(world: BalancedWorld, number: int, show: Show) -> None:
    """By FLUSHALL, and as one that was started anew with nothing in it."""
    async with following(world, f"redis emptied {number}", show) as (crowd, _):
        for _ in range(3):
            await crowd.told.faults.flush_redis()
            await asyncio.sleep(0.4)
        await kill_server(crowd.told, "valkey", forget="appendonlydir")
        await crowd.until_all_have_heard()
    assert set(crowd.connections()) == {1}


async def test_redis_is_stopped(world: BalancedWorld, number: int, show: Show) -> None:
    """What happens meanwhile is heard while it is still stopped: the notifiers look at the log by themselves."""
    async with following(world, f"redis stopped {number}", show) as (crowd, _):
        crowd.told.faults.stop("valkey")
        try:
            before = await crowd.head()
            for _ in range(_STOPPED_RENAMES):
                await crowd.rename()
                await crowd.until_all_have_heard()
            assert await crowd.head() > before
        finally:
            crowd.told.faults.cont("valkey")
    assert set(crowd.connections()) == {1}


async def test_postgresql_is_restarted(world: BalancedWorld, number: int, show: Show) -> None:
    """In order, and by SIGKILL. Clients stay connected and hear the rest once it is back."""
    async with following(world, f"postgresql restarted {number}", show) as (crowd, _):
        await restart_server(crowd.told, "postgres")
        await crowd.until_all_have_heard()
        await kill_server(crowd.told, "postgres")
        await crowd.until_all_have_heard()
    assert set(crowd.connections()) == {1}
