"""A part that is away costs time and nothing else: the run says what it waits for, and goes on when that is back."""

import asyncio
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
import tritonclient.grpc.aio as grpcclient
from sqlalchemy import text

from services.inference.failures import ModelAway, ModelBroken
from shared.database.engine import Sessions
from shared.object_store import ObjectStore, content_key
from shared.snapshots import model_run_snapshot
from tests.support.checked import check
from tests.support.servers import MODELS, PICTURES
from tests.support.workers import (
    MODEL,
    FakeTriton,
    Numbers,
    add_numbers,
    submit_numbers,
    until_ended,
    working,
)
from tests.support.world import World, built_models, entry, make_world

_STALLED_ONCE = ("model_run.queued", "model_run.started", "model_run.stalled", "model_run.unstalled")
_LONGER_THAN_A_SILENCE = 4.0


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
            while (await world.run(run_id)).state_reason != "unloaded":
                await asyncio.sleep(0.02)
        stalled = await world.run(run_id)
        assert (stalled.state, stalled.waiting_for) == ("stalled", "model"), "whoever saw it first"
        assert model.loads >= 1, "the keeper asks for what is missing"
        model.state = ("READY", "")
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    events = [kind for _, kind in await world.event_types()]
    assert events == [*_STALLED_ONCE, "model_run.completed"]


async def test_a_model_whose_unloading_hangs_is_loaded_beside_it(world: World) -> None:
    run_id, rows = await submit_numbers(world, 16)
    model = FakeTriton()
    model.state = ("UNLOADING", "")
    async with working(world, model, inference_deadline_seconds=2.0):
        async with asyncio.timeout(10):
            while (await world.run(run_id)).state_reason != "Triton is unloading the model":
                await asyncio.sleep(0.02)
        assert not model.loads, "calls that are under way may still end"
        async with asyncio.timeout(20):
            while not model.loads:
                await asyncio.sleep(0.02)
        model.state = ("READY", "")
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)


@pytest.mark.parametrize("failure", [ModelBroken("Stub process is not healthy"), ModelAway("Deadline Exceeded")])
async def test_a_model_that_is_ready_and_cannot_answer_is_loaded_anew(world: World, failure: ModelAway) -> None:
    run_id, rows = await submit_numbers(world, 16)
    model = FakeTriton()

    async def fails(_: Numbers) -> None:
        if not model.loads:
            raise failure

    model.behaviour = fails
    async with working(world, model, inference_deadline_seconds=2.0, inference_patience_seconds=0.1):
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert model.loads == 1


async def test_a_model_that_answers_others_is_left_alone(world: World) -> None:
    run_id, rows = await submit_numbers(world, 16)
    model, others = FakeTriton(), asyncio.Event()

    async def for_others(_: Numbers) -> None:
        model.calls.append(())  # that of another worker
        if not others.is_set():
            raise ModelAway("Deadline Exceeded")

    model.behaviour = for_others
    async with working(world, model, inference_deadline_seconds=1.0, inference_patience_seconds=0.1):
        await asyncio.sleep(_LONGER_THAN_A_SILENCE)
        assert not model.loads
        others.set()
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)


async def test_no_answer_between_two_looks_of_the_keeper_stalls_the_run_once(world: World) -> None:
    """Triton says that the model is ready, and still nothing comes back."""
    run_id, rows = await submit_numbers(world, 48, segment_size=16)
    back = asyncio.Event()

    async def away(_: Numbers) -> None:
        if not back.is_set():
            raise ModelAway("Deadline Exceeded")

    async with working(world, FakeTriton(away), inference_patience_seconds=0.1):
        await _until_stalled(world, run_id)
        stalled = await world.run(run_id)
        assert (stalled.waiting_for, stalled.state_reason) == ("answer", "the model does not answer: Deadline Exceeded")
        await _until_taken_often(world, run_id)
        back.set()
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert await _kinds(world) == [*_STALLED_ONCE, "model_run.completed"]
    assert (await world.run(run_id)).waiting_for is None


async def test_an_object_store_that_is_away_stalls_the_run_and_wakes_it(world: World, tmp_path: Path) -> None:
    rows = await _stored_numbers(world, 48)
    run_id = await world.start_run(MODEL, await world.add_model(MODEL), rows, segment_size=16)
    folder, elsewhere = tmp_path / "objects", tmp_path / "elsewhere"

    async def goes(_: Numbers) -> None:
        if folder.exists() and not elsewhere.exists() and len(model.calls) == 1:
            folder.rename(elsewhere)

    model = FakeTriton(goes)
    async with working(world, model, inference_lanes=1, inference_batches_in_flight=1, inference_patience_seconds=0.1):
        await _until_stalled(world, run_id)
        stalled = await world.run(run_id)
        assert stalled.waiting_for == "object_store"
        assert stalled.state_reason == "the object store does not answer: its folder is gone"
        generations = [segment.generation for segment in await world.segments(run_id)]
        await asyncio.sleep(0.5)
        assert [segment.generation for segment in await world.segments(run_id)] == generations, "nobody tries meanwhile"
        elsewhere.rename(folder)
        assert await until_ended(world, run_id) == "completed"
    await check(world, run_id, rows)
    assert await _kinds(world) == [*_STALLED_ONCE, "model_run.completed"]


async def test_texts_of_other_runs_go_on_without_the_object_store(world: World, tmp_path: Path) -> None:
    model_id = await world.add_model(MODEL)
    stored = await world.start_run(MODEL, model_id, await _stored_numbers(world, 16))
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    async with working(world, FakeTriton(), inference_lanes=1, inference_patience_seconds=0.1):
        await _until_stalled(world, stored)
        inline = await world.start_run(MODEL, model_id, await add_numbers(world, 16))
        assert await until_ended(world, inline) == "completed"
        assert (await world.run(stored)).state == "stalled"


async def test_one_object_that_cannot_be_read_costs_its_row_and_stalls_nothing(world: World, tmp_path: Path) -> None:
    rows = await _stored_numbers(world, 16)
    broken = tmp_path / "objects" / content_key(world.workspace_id, sha256(b"5").hexdigest())
    broken.unlink()
    broken.symlink_to(broken)
    run_id = await world.start_run(MODEL, await world.add_model(MODEL), rows)
    async with working(world, FakeTriton()):
        assert await until_ended(world, run_id) == "completed_with_errors"
    outcomes = await check(world, run_id, rows, failed={5: "content_unreadable"})
    assert (outcomes[5].stage, outcomes[5].attempts) == ("fetch", 5)
    assert "model_run.stalled" not in await _kinds(world)


async def test_a_run_says_what_it_waits_for(world: World) -> None:
    run_id, _ = await submit_numbers(world, 4)
    assert await _shown(world, run_id) == ("queued", None, None), "a worker may still come"
    await _set(world, run_id, "created_at = now() - interval '1 minute'")
    assert await _shown(world, run_id) == ("queued", "worker", "no worker takes it")
    await _set(world, run_id, "waiting_for = 'model', state_reason = 'no weights'")
    assert await _shown(world, run_id) == ("queued", "model", "no weights")
    await _set(world, run_id, "state = 'stalled', waiting_for = 'answer', state_reason = 'no answer'")
    assert await _shown(world, run_id) == ("stalled", "model", "no answer")
    await _set(world, run_id, "state = 'paused', state_reason = NULL")
    assert await _shown(world, run_id) == ("paused", None, None)


async def test_a_run_whose_workers_have_died_waits_for_one(world: World) -> None:
    run_id, rows = await submit_numbers(world, 4)
    await _set(world, run_id, "state = 'running', served_at = now() - interval '1 minute'")
    assert await _shown(world, run_id) == ("running", "worker", "no worker takes it")
    model_id = (await world.run(run_id)).catalog_model_id
    assert model_id is not None
    other = await world.start_run(MODEL, model_id, rows)
    async with world.sessions.begin() as session:
        leased = text("UPDATE segments SET state = 'leased', heartbeat_at = now() WHERE model_run_id = :run")
        await session.execute(leased, {"run": other})
    assert await _shown(world, run_id) == ("running", None, None), "it waits for its turn"


async def _stored_numbers(world: World, count: int) -> list[UUID]:
    return [await world.add_stored(f"stored-{number}", str(number).encode()) for number in range(count)]


async def _until_stalled(world: World, run_id: UUID) -> None:
    async with asyncio.timeout(30):
        while (await world.run(run_id)).state != "stalled":
            await asyncio.sleep(0.02)


async def _until_taken_often(world: World, run_id: UUID) -> None:
    async with asyncio.timeout(30):
        while sum(segment.generation for segment in await world.segments(run_id)) < 6:
            await asyncio.sleep(0.02)


async def _kinds(world: World) -> list[str]:
    return [kind for _, kind in await world.event_types()]


async def _shown(world: World, run_id: UUID) -> tuple[str, str | None, str | None]:
    async with world.sessions() as session:
        shown = await model_run_snapshot(session, world.workspace_id, run_id)
    assert shown is not None
    return shown.state, shown.waiting_for, shown.state_reason


async def _set(world: World, run_id: UUID, what: str) -> None:
    async with world.sessions.begin() as session:
        await session.execute(text(f"UPDATE model_runs SET {what} WHERE id = :run"), {"run": run_id})


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
