"""Operations on real PostgreSQL: one worker at a time, another after a death, one end with one event."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from deploy.local.stack import ROOT
from services.api.settings import WorkerSettings
from shared.database.engine import Sessions, create_engine, create_sessions
from shared.database.event_log import read_events
from shared.database.operations import NewOperation, OperationLost, end_operation
from shared.database.tables import OperationRow
from shared.database.unit_of_work import unit_of_work
from shared.errors import Conflict, Unavailable
from shared.object_store import ObjectStore
from shared.operations import RunningOperation
from shared.signals import Signals
from tests.support.operations import KIND, add, operating, read, until_state
from tests.support.workers import make_signals
from tests.support.world import World, make_world

pytestmark = pytest.mark.asyncio


@dataclass
class Office:
    world: World
    sessions: Sessions
    signals: Signals

    @property
    def wanted(self) -> NewOperation:
        world = self.world
        return NewOperation(KIND, world.workspace_id, world.project_id, {"steps": 3}, world.member_id)

    async def add(self) -> "OperationRow":
        return await read(self.sessions, await add(self.sessions, self.signals, self.wanted))

    async def events(self) -> list[str]:
        async with self.sessions() as session:
            return [event.type for event in await read_events(session, self.world.project_id, 0, 100)]


@pytest_asyncio.fixture
async def office(service_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Office]:
    engine = create_engine(WorkerSettings(), "tests")
    sessions, signals = create_sessions(engine), make_signals()
    world = await make_world(sessions, ObjectStore(f"file://{tmp_path}"))
    yield Office(world, sessions, signals)
    await signals.close()
    await engine.dispose()


async def test_an_operation_goes_in_steps_and_ends_with_its_event(office: Office) -> None:
    seen: list[int] = []

    async def count(operation: RunningOperation) -> None:
        for done in range(1, operation.parameters["steps"] + 1):
            async with operation.step() as work:
                await operation.report(work, done, 3, "counting")
            seen.append((await read(office.sessions, operation.claim.id)).progress["done"])
        async with operation.step() as work:
            await operation.succeed(work, {"counted": 3})

    one = await office.add()
    assert one.progress == {"done": 0, "total": None, "stage": None}
    async with operating(office.sessions, office.signals, {KIND: count}):
        ended = await until_state(office.sessions, one.id, "succeeded")
    assert seen == [1, 2, 3]
    assert (ended.result, ended.progress) == ({"counted": 3}, {"done": 3, "total": 3, "stage": "counting"})
    assert ended.started_at is not None
    assert ended.finished_at is not None
    assert await office.events() == ["operation.succeeded"]
    async with office.sessions() as session:
        notified = await read_events(session, office.world.workspace_id, 0, 10)
    assert [event.type for event in notified] == ["operation.succeeded"]


async def test_a_dead_workers_operation_is_begun_again_and_the_dead_can_write_nothing(office: Office) -> None:
    held, lost = asyncio.Event(), asyncio.Event()

    async def hangs(operation: RunningOperation) -> None:
        held.set()
        try:
            await asyncio.sleep(60)
        finally:
            with pytest.raises(OperationLost):
                async with operation.step():
                    pass
            lost.set()

    async def ends(operation: RunningOperation) -> None:
        async with operation.step() as work:
            await operation.succeed(work, {"attempts": operation.claim.attempts})

    one = await office.add()
    # Its heart does not beat: as a process that was killed or hangs.
    async with operating(office.sessions, office.signals, {KIND: hangs}, operations_heartbeat_seconds=60) as dead:
        await held.wait()
        async with operating(office.sessions, office.signals, {KIND: ends}, operations_lease_seconds=0.3):
            ended = await until_state(office.sessions, one.id, "succeeded")
        await dead.kill()
    await asyncio.wait_for(lost.wait(), 5)
    assert ended.result == {"attempts": 2}
    assert await office.events() == ["operation.succeeded"]


async def test_a_long_step_is_no_silence(office: Office) -> None:
    begun: list[int] = []

    async def slow(operation: RunningOperation) -> None:
        begun.append(operation.claim.attempts)
        for _ in range(2):
            async with operation.step():
                await asyncio.sleep(0.6)
        async with operation.step() as work:
            await operation.succeed(work, {})

    one = await office.add()
    settings: dict[str, Any] = {
        "operations_lease_seconds": 0.5,
        "operations_heartbeat_seconds": 0.1,
        "operations_lanes": 2,
    }
    async with operating(office.sessions, office.signals, {KIND: slow}, **settings):
        await until_state(office.sessions, one.id, "succeeded")
    assert begun == [1]


async def test_cancel_is_final(office: Office) -> None:
    begun = asyncio.Event()

    async def waits(operation: RunningOperation) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        async with operation.step() as work:
            await operation.succeed(work, {})

    one = await office.add()
    async with operating(office.sessions, office.signals, {KIND: waits}):
        await begun.wait()
        async with unit_of_work(office.sessions, office.signals, "member:test") as work:
            row = await work.session.get_one(OperationRow, one.id, with_for_update=True)
            await end_operation(work, row, "cancelled")
        await asyncio.sleep(0.6)
    assert (await read(office.sessions, one.id)).state == "cancelled"
    assert await office.events() == ["operation.cancelled"]


async def test_a_problem_ends_it_and_a_bug_says_nothing_of_itself(office: Office) -> None:
    async def refuses(operation: RunningOperation) -> None:
        raise Conflict("the run is running", code="not_finished")

    async def breaks(operation: RunningOperation) -> None:
        raise RuntimeError("the password is hunter2")

    for handler, code in ((refuses, "not_finished"), (breaks, "internal_error")):
        one = await office.add()
        async with operating(office.sessions, office.signals, {KIND: handler}):
            ended = await until_state(office.sessions, one.id, "failed")
        assert ended.problem is not None
        assert ended.problem["code"] == code
        assert "hunter2" not in str(ended.problem)
    assert await office.events() == ["operation.failed"] * 2


async def test_what_is_away_means_another_attempt_and_who_kills_workers_ends(office: Office) -> None:
    tries: list[int] = []

    async def is_away(operation: RunningOperation) -> None:
        tries.append(operation.claim.attempts)
        if len(tries) < 3:
            raise Unavailable()
        raise OSError("the database went away, each time")

    one = await office.add()
    async with operating(office.sessions, office.signals, {KIND: is_away}):
        ended = await until_state(office.sessions, one.id, "failed")
    # Waiting for a part costs no attempt; losing the database does, since a fault of ours may look like it.
    assert tries == [1, 1, 1, 2, 3, 4, 5]
    assert ended.problem is not None
    assert ended.problem["code"] == "worker_crashed"


async def test_a_stopping_worker_ends_its_step_and_leaves_the_rest(office: Office) -> None:
    stepping, attempts = asyncio.Event(), []

    async def works(operation: RunningOperation) -> None:
        attempts.append(operation.claim.attempts)
        async with operation.step() as work:
            await operation.report(work, 1)
            stepping.set()
            await asyncio.sleep(0.3)
        async with operation.step() as work:
            await operation.succeed(work, {})

    one = await office.add()
    async with operating(office.sessions, office.signals, {KIND: works}) as running:
        await stepping.wait()
        await running.stop()
    left = await read(office.sessions, one.id)
    assert (left.state, left.progress["done"], left.attempts) == ("queued", 1, 0)
    async with operating(office.sessions, office.signals, {KIND: works}):
        await until_state(office.sessions, one.id, "succeeded")
    assert attempts == [1, 1]


async def test_workspaces_take_turns_and_kinds_are_the_workers_own(office: Office) -> None:
    order: list[object] = []

    async def note(operation: RunningOperation) -> None:
        order.append(operation.claim.workspace_id)
        await asyncio.sleep(0.05)
        async with operation.step() as work:
            await operation.succeed(work, {})

    other = await make_world(office.sessions, office.world.store)
    mine = [await office.add() for _ in range(4)]
    theirs = await add(
        office.sessions, office.signals, NewOperation(KIND, other.workspace_id, None, {}, other.member_id)
    )
    async with operating(office.sessions, office.signals, {"register_model": note}):
        await asyncio.sleep(0.3)
    assert order == []
    async with operating(office.sessions, office.signals, {KIND: note}):
        for operation_id in [*(row.id for row in mine), theirs]:
            await until_state(office.sessions, operation_id, "succeeded")
    assert order.index(other.workspace_id) <= 1


async def test_the_process_serves_health_and_stops_clean(service_environment: dict[str, str]) -> None:
    port = 20_000 + os.getpid() % 10_000
    environment = {**os.environ, "OPERATIONS_METRICS_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.api.worker", env=environment, cwd=ROOT
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, asyncio.timeout(30):
            while not await _ready(client):
                await asyncio.sleep(0.1)
            assert "prelabel_operations_held 0.0" in (await client.get("/metrics")).text
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(client: httpx2.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False
