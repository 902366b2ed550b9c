"""Workers and PostgreSQL come and go: the run ends with one outcome a data row, and counters that say the same."""

import asyncio

import pytest
from sqlalchemy import text

from services.inference.settings import InferenceSettings
from shared.database.engine import DATABASE_ERRORS, create_engine, create_sessions
from shared.signals import Signals
from tests.support.checked import check
from tests.support.leases import LEASE_SECONDS, claim, silent_for
from tests.support.waiting import until
from tests.support.workers import (
    FakeTriton,
    Numbers,
    submit_numbers,
    until_ended,
    working,
)
from tests.support.world import World


async def test_another_version_of_the_model_stops_the_run(world: World) -> None:
    run_id, _ = await submit_numbers(world, 48, segment_size=16)

    class Changed(FakeTriton):
        async def digest(self, model: str) -> str | None:
            return "f" * 64 if self.calls else await super().digest(model)

    async with working(world, Changed(), inference_lanes=1):
        assert await until_ended(world, run_id) == "failed"
    run = await world.run(run_id)
    assert run.state_reason is not None
    assert "another version" in run.state_reason
    # The next segment is begun, and its model asked, while the first one's batch is under way.
    assert run.succeeded == len(await world.outcomes(run_id)) in {0, 16}, "what is there stays"
    first, *others = [segment.state for segment in await world.segments(run_id)]
    assert first in {"done", "cancelled"}
    assert others == ["cancelled", "cancelled"]


@pytest.mark.parametrize("taken_over", [False, True], ids=["in batches", "rows alone"])
async def test_another_version_is_sent_nothing(world: World, signals: Signals, taken_over: bool) -> None:
    """Though rows are read while Triton is asked which version it serves."""
    run_id, _ = await submit_numbers(world, 16)
    if taken_over:
        assert await claim(world, signals, holder="dead") is not None
        await silent_for(world, LEASE_SECONDS + 1)

    class Other(FakeTriton):
        async def digest(self, model: str) -> str | None:
            await asyncio.sleep(0.05)
            return "f" * 64

    model = Other()
    async with working(world, model):
        assert await until_ended(world, run_id) == "failed"
    assert "another version" in ((await world.run(run_id)).state_reason or "")
    assert model.calls == []
    assert await world.outcomes(run_id) == []


# --- the worker -----------------------------------------------------------------------------------------------------


async def test_a_stopped_worker_gives_the_rest_to_another(world: World) -> None:
    run_id, rows = await submit_numbers(world, 128, segment_size=64)
    under_way = asyncio.Event()

    async def slowly(_: Numbers) -> None:
        under_way.set()
        await asyncio.sleep(0.1)

    model = FakeTriton(slowly)
    async with working(world, model, inference_batches_in_flight=1):
        await under_way.wait()
    done = len(await world.outcomes(run_id))
    assert 0 < done < 128
    assert done == sum(len(call) for call in model.calls), "every batch under way was stored"
    assert {segment.state for segment in await world.segments(run_id)} == {"open"}
    second = FakeTriton()
    async with working(world, second):
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert sum(len(call) for call in second.calls) == 128 - done, "no row was inferred twice"


async def test_what_a_drain_cuts_short_is_given_back_without_blame(world: World) -> None:
    run_id, rows = await submit_numbers(world, 64)
    under_way = asyncio.Event()

    async def never(_: Numbers) -> None:
        under_way.set()
        await asyncio.sleep(3600)

    async with working(world, FakeTriton(never), inference_lanes=1) as running:
        await under_way.wait()
        running.worker.stop()
        await running.kill()
        assert {segment.state for segment in await world.segments(run_id)} == {"open"}
    second = FakeTriton()
    async with working(world, second):
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert all(len(call) > 1 for call in second.calls), "no row had to run alone"
    assert sum(segment.takeovers for segment in await world.segments(run_id)) == 0


async def test_a_stop_is_heard_while_a_segment_is_begun(world: World) -> None:
    run_id, _ = await submit_numbers(world, 32)

    class Stopping(FakeTriton):
        async def digest(self, model: str) -> str | None:
            running.worker.stop()
            return await super().digest(model)

    model = Stopping()
    async with working(world, model, inference_lanes=1) as running:
        await until(lambda: not running.works)
    assert model.calls == []
    assert [segment.state for segment in await world.segments(run_id)] == ["open"]


async def test_two_workers_share_a_run(world: World) -> None:
    run_id, rows = await submit_numbers(world, 96, segment_size=16)

    async def slowly(_: Numbers) -> None:
        await asyncio.sleep(0.05)

    one, other = FakeTriton(slowly), FakeTriton(slowly)
    async with working(world, one, inference_lanes=1), working(world, other, inference_lanes=1):
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert one.calls
    assert other.calls
    assert sum(len(call) for call in (*one.calls, *other.calls)) == 96


# --- PostgreSQL -----------------------------------------------------------------------------------------------------


async def _kill_connections(world: World, application_name: str) -> int:
    async with world.sessions.begin() as session:
        found = await session.scalars(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name"),
            {"name": application_name},
        )
        return len(found.all())


async def test_killed_connections_cost_nothing(world: World) -> None:
    run_id, rows = await submit_numbers(world, 160, segment_size=40)

    async def slowly(_: Numbers) -> None:
        await asyncio.sleep(0.02)

    engine = create_engine(InferenceSettings(), "victim")
    killed = 0
    async with working(world, FakeTriton(slowly), sessions=create_sessions(engine)) as running:
        ended = asyncio.create_task(until_ended(world, run_id))
        while not ended.done():
            if killed < 15:
                killed += await _kill_connections(world, "victim")
            await asyncio.sleep(0.04)
        assert ended.result() == "completed"
        assert running.works
    await engine.dispose()
    assert killed > 5
    await check(world, run_id, rows)


async def test_a_worker_starts_before_postgresql_answers(world: World) -> None:
    run_id, rows = await submit_numbers(world, 16)
    away = True
    engine = create_engine(InferenceSettings(), "late")
    sessions = create_sessions(engine)

    class Late:
        """As PostgreSQL is while it starts."""

        def begin(self) -> object:
            if away:
                raise ConnectionRefusedError
            return sessions.begin()

        def __call__(self) -> object:
            if away:
                raise ConnectionRefusedError
            return sessions()

    assert issubclass(ConnectionRefusedError, DATABASE_ERRORS)
    async with working(world, FakeTriton(), sessions=Late()) as running:  # type: ignore[arg-type]
        await asyncio.sleep(0.3)
        assert running.works
        away = False
        assert await until_ended(world, run_id) == "completed"
    await engine.dispose()
    await check(world, run_id, rows)
