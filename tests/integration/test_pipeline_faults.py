"""Whatever goes wrong with a batch: the run ends with one outcome a data row, and counters that say the same."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import numpy as np
import pytest
import tritonclient.grpc.aio as grpcclient
from sqlalchemy import text

from services.inference.settings import InferenceSettings
from services.inference.triton import Array, ModelAway, ModelBroken, ModelRejected
from shared.database.engine import DATABASE_ERRORS, Sessions, create_engine, create_sessions
from shared.database.tables import RowOutcomeRow
from shared.object_store import ObjectStore
from tests.support.servers import MODELS, PICTURES
from tests.support.workers import (
    MODEL,
    FakeTriton,
    Numbers,
    add_numbers,
    model_class,
    right,
    submit_numbers,
    until_ended,
    until_true,
    working,
)
from tests.support.world import World, built_models, entry, make_world


@pytest.fixture
async def sessions(service_environment: dict[str, str]) -> AsyncIterator[Sessions]:
    engine = create_engine(InferenceSettings(), "test")
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def world(sessions: Sessions, object_store_url: str) -> World:
    return await make_world(sessions, ObjectStore(object_store_url), "text")


async def check(
    world: World, run_id: UUID, rows: list[UUID], failed: dict[int, str] | None = None
) -> list[RowOutcomeRow]:
    """One outcome a row, the right one; counters and events that agree. Answers the outcomes in the rows' order."""
    failed = failed or {}
    found = {outcome.data_row_id: outcome for outcome in await world.outcomes(run_id)}
    outcomes = [found[row] for row in rows]
    assert len(found) == len(rows)
    assert {n: one.code for n, one in enumerate(outcomes) if one.state == "failed"} == failed
    assert Counter(one.state for one in outcomes) == Counter(
        {"succeeded": len(rows) - len(failed), **({"failed": len(failed)} if failed else {})}
    )
    said: dict[UUID, list[str]] = {row: [] for row in rows}
    for one in await world.detections(run_id):
        said[one.data_row_id].append(one.model_class)
    for number, row in enumerate(rows):
        other = model_class(number + 1)
        assert said[row] == ([] if number in failed else [model_class(number), other]), "each row has its own answer"
    run, segments = await world.run(run_id), await world.segments(run_id)
    detections = 2 * (len(rows) - len(failed))
    expected = (len(rows) - len(failed), len(failed), detections)
    assert (run.succeeded, run.failed, run.detections) == expected
    assert tuple(sum(getattr(s, name) for s in segments) for name in ("succeeded", "failed", "detections")) == expected
    assert {segment.state for segment in segments} == {"done"}
    events = [kind for _, kind in await world.event_types()]
    assert events[-1] == f"model_run.{run.state}"
    assert sum(kind.startswith("model_run.completed") for kind in events) == 1
    return outcomes


# --- the model ------------------------------------------------------------------------------------------------------


async def test_a_model_that_is_away_for_a_while_costs_nothing(world: World) -> None:
    run_id, rows = await submit_numbers(world, 48)
    calls = 0

    async def away(numbers: Numbers) -> None:
        nonlocal calls
        calls += 1
        if 2 < calls < 7:
            raise ModelAway("no available versions")

    async with working(world, FakeTriton(away)):
        assert await until_ended(world, run_id) == "completed"
    outcomes = await check(world, run_id, rows)
    assert {outcome.attempts for outcome in outcomes} == {1}


async def test_a_model_away_beyond_patience_gives_its_segments_back(world: World) -> None:
    run_id, rows = await submit_numbers(world, 48, segment_size=16)
    back = asyncio.Event()

    async def away(_: Numbers) -> None:
        if not back.is_set():
            raise ModelAway("no available versions")

    model = FakeTriton(away)
    async with working(world, model, inference_patience_seconds=0.1) as running:
        async with asyncio.timeout(10):
            while all(segment.generation < 2 for segment in await world.segments(run_id)):
                await asyncio.sleep(0.02)
        assert running.works
        assert await world.outcomes(run_id) == []
        back.set()
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert all(segment.takeovers == 0 for segment in await world.segments(run_id)), "given back, not taken over"


async def test_a_queued_run_says_what_it_waits_for(world: World) -> None:
    model = FakeTriton()
    model.state = ("UNAVAILABLE", "no weights")
    rows = await add_numbers(world, 4)
    run_id = await world.start_run(MODEL, await world.add_model(MODEL, state="unavailable"), rows)
    async with working(world, model):
        async with asyncio.timeout(10):
            while (await world.run(run_id)).state_reason != "no weights":
                await asyncio.sleep(0.02)
        assert (await world.run(run_id)).state == "queued"
        model.state = ("READY", "")
        assert await until_ended(world, run_id) == "completed"
    assert (await world.run(run_id)).state_reason is None
    await check(world, run_id, rows)


async def test_a_model_that_goes_stalls_the_run_and_wakes_it(world: World) -> None:
    run_id, rows = await submit_numbers(world, 32, segment_size=16)
    model = FakeTriton()

    async def away(_: Numbers) -> None:
        if len(model.calls) == 1:
            model.state = ("UNAVAILABLE", "unloaded")
        if model.state[0] != "READY":
            raise ModelAway("no available versions")

    model.behaviour = away
    async with working(world, model, inference_patience_seconds=0.1):
        async with asyncio.timeout(10):
            while (await world.run(run_id)).state != "stalled":
                await asyncio.sleep(0.02)
        stalled = await world.run(run_id)
        assert stalled.state_reason == "unloaded"
        assert model.loads >= 1, "the keeper asks for what is missing"
        model.state = ("READY", "")
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    events = [kind for _, kind in await world.event_types()]
    assert events == [
        "model_run.queued",
        "model_run.started",
        "model_run.stalled",
        "model_run.unstalled",
        "model_run.completed",
    ]


async def test_a_broken_model_is_loaded_anew(world: World) -> None:
    run_id, rows = await submit_numbers(world, 16)
    model = FakeTriton()

    async def broken(_: Numbers) -> None:
        if not model.loads:
            raise ModelBroken("Stub process is not healthy")

    model.behaviour = broken
    async with working(world, model):
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert model.loads == 1


async def test_one_refused_row_costs_none_of_its_neighbours(world: World) -> None:
    run_id, rows = await submit_numbers(world, 16)

    async def refuse(numbers: Numbers) -> None:
        if 5 in numbers:
            raise ModelRejected("shape mismatch")

    model = FakeTriton(refuse)
    async with working(world, model):
        assert await until_ended(world, run_id) == "completed_with_errors"
    outcomes = await check(world, run_id, rows, failed={5: "model_rejected"})
    assert (outcomes[5].stage, outcomes[5].detail) == ("inference", "shape mismatch")
    assert outcomes[5].attempts == 5, "in the whole batch and each half of a half, down to itself"
    assert [len(call) for call in model.calls if 5 in call] == [16, 8, 4, 2, 1]
    assert len(model.calls) == 9


async def test_a_model_that_refuses_all_fails_each_row_by_itself(world: World) -> None:
    run_id, rows = await submit_numbers(world, 4)

    async def refuse(_: Numbers) -> None:
        raise ModelRejected("no")

    async with working(world, FakeTriton(refuse)):
        assert await until_ended(world, run_id) == "completed_with_errors"
    await check(world, run_id, rows, failed=dict.fromkeys(range(4), "model_rejected"))


@pytest.mark.parametrize("wrong", ["NaN", "a row too few", "a row too many", "a class too many", "above one"])
async def test_outputs_of_another_kind_are_never_paired_by_position(world: World, wrong: str) -> None:
    run_id, rows = await submit_numbers(world, 16)

    async def answer(numbers: Numbers) -> Array | None:
        if 7 not in numbers:
            return None
        given = right(numbers)
        return {
            "NaN": given * np.where(np.array(numbers) == 7, np.nan, 1)[:, None],
            "a row too few": given[1:],
            "a row too many": np.concatenate([given[:1], given]),
            "a class too many": np.concatenate([given, given[:, :1]], axis=1),
            "above one": given + 3,
        }[wrong]

    async with working(world, FakeTriton(answer)):
        assert await until_ended(world, run_id) == "completed_with_errors"
    outcomes = await check(world, run_id, rows, failed={7: "bad_model_output"})
    assert outcomes[7].stage == "output"


async def test_a_fault_of_ours_costs_its_row_and_never_goes_round_for_ever(world: World) -> None:
    run_id, rows = await submit_numbers(world, 20)

    async def fault(numbers: Numbers) -> None:
        if 3 in numbers:
            raise RuntimeError("a bug")

    async with working(world, FakeTriton(fault)) as running:
        assert await until_ended(world, run_id) == "completed_with_errors"
        assert running.works
    outcomes = await check(world, run_id, rows, failed={3: "internal_error"})
    assert "RuntimeError" in str(outcomes[3].detail)
    assert "a bug" not in str(outcomes[3].detail), "no exception text for users"


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
    assert run.succeeded == len(await world.outcomes(run_id)) == 16, "what is there stays"
    assert [segment.state for segment in await world.segments(run_id)] == ["done", "cancelled", "cancelled"]


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
        await until_true(lambda: not running.works)
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


# --- the real Triton ------------------------------------------------------------------------------------------------


async def test_a_model_unloaded_in_triton_stalls_the_run_until_it_is_back(
    sessions: Sessions, object_store_url: str, triton_url: str
) -> None:
    world = await make_world(sessions, ObjectStore(object_store_url))
    detector = built_models(MODELS)["detect-nanodet"]
    picture = (PICTURES / "chelsea.png").read_bytes()
    rows = [await world.add_image(str(number), picture) for number in range(24)]
    model_id = await world.add_model(detector)
    run_id = await world.start_run(detector, model_id, rows, entries=[entry("cat", 0.35)], segment_size=4)
    client = grpcclient.InferenceServerClient(triton_url)
    async with working(world, inference_lanes=1, inference_batches_in_flight=1, inference_patience_seconds=0.5):
        while not await world.outcomes(run_id):
            await asyncio.sleep(0.02)
        await client.unload_model(detector.triton_name)
        assert await until_ended(world, run_id) == "completed"
    await client.close()
    outcomes = await world.outcomes(run_id)
    assert {outcome.state for outcome in outcomes} == {"succeeded"}
    assert sorted(outcome.data_row_id for outcome in outcomes) == sorted(rows)
    cats = {one.data_row_id for one in await world.detections(run_id) if one.model_class == "cat"}
    assert cats == set(rows), "what was found before and after is the same"
    events = [kind for _, kind in await world.event_types()]
    stalls = events.count("model_run.stalled")
    assert stalls >= 1
    assert events.count("model_run.unstalled") == stalls
    assert events[-1] == "model_run.completed"
    async with sessions() as session:
        reasons = text("SELECT payload::jsonb #>> '{data,reason}' FROM events WHERE type = 'model_run.stalled'")
        assert all((await session.scalars(reasons)).all())
