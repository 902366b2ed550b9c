"""Leases: one worker a segment, no right to write without it, runs in turn, and a killer among the rows is found."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.api.access.principal import Principal, Role
from services.api.model_runs.cancel import cancel_model_run
from services.inference import segments, writing
from services.inference.failures import RowFailed
from services.inference.results import Failed, Outcomes
from services.inference.segments import Claim, LeaseLost
from shared.alignment import Alignment
from shared.annotations import FeatureType
from shared.database.unit_of_work import unit_of_work
from shared.ids import new_id
from shared.signals import Signals
from tests.support.leases import LEASE_SECONDS, claim, silent_for, succeeded
from tests.support.waiting import until
from tests.support.workers import (
    MODEL,
    FakeTriton,
    Numbers,
    add_numbers,
    submit_numbers,
    until_ended,
    working,
)
from tests.support.world import World, entry, make_world

ALIGNMENT = Alignment(entries=(entry("even", 0.5, FeatureType.RADIO),))


async def claimed(world: World, signals: Signals, **how: Any) -> Claim:
    found = await claim(world, signals, **how)
    assert found is not None
    return found


async def execute(world: World, statement: str, **parameters: Any) -> None:
    async with world.sessions.begin() as session:
        await session.execute(text(statement), parameters)


async def store(world: World, claim: Claim, *rows: UUID, failed: tuple[UUID, ...] = ()) -> None:
    bad = [Failed(row, RowFailed("decode", "undecodable_text", "no text")) for row in failed]
    seen = replace(claim, alignment=ALIGNMENT)
    await writing.store(world.sessions, Outcomes.of(seen, [succeeded(row) for row in rows], bad))


async def finish(world: World, signals: Signals, claim: Claim) -> None:
    async with unit_of_work(world.sessions, signals, "service:inference") as work:
        await segments.finish(work, claim)


async def everything(world: World) -> dict[str, list[Any]]:
    """All rows of all tables a worker writes."""
    tables = (
        "row_outcomes",
        "detections",
        "row_projections",
        "ledger_counts",
        "segments",
        "data_row_contents",
        "events",
    )
    async with world.sessions() as session:
        return {
            table: list((await session.execute(text(f"SELECT t::text FROM {table} t ORDER BY 1"))).scalars())
            for table in tables
        }


# --- claims ---------------------------------------------------------------------------------------------------------


async def test_a_segment_with_rows_left_is_not_closed(world: World, signals: Signals) -> None:
    run_id, rows = await submit_numbers(world, 3, segment_size=3)
    mine = await claim(world, signals)
    assert mine is not None
    await store(world, mine, *rows[:2])
    with pytest.raises(segments.RowsLeft):
        await finish(world, signals, mine)
    assert [segment.state for segment in await world.segments(run_id)] == ["leased"]
    await store(world, mine, failed=(rows[2],))
    await finish(world, signals, mine)
    assert (await world.run(run_id)).state == "completed_with_errors"


async def test_each_segment_has_one_holder(world: World, signals: Signals) -> None:
    run_id, rows = await submit_numbers(world, 25, segment_size=1)
    found = await asyncio.gather(*(claim(world, signals, holder=str(n)) for n in range(40)))
    taken = [one for one in found if one is not None]
    assert len(taken) == 25
    assert len({one.segment_id for one in taken}) == 25
    assert sorted(row for one in taken for row in one.pending) == sorted(rows)
    assert await world.event_types() == [(1, "model_run.queued"), (2, "model_run.started")]
    assert (await world.run(run_id)).state == "running"


async def test_runs_come_in_turn(world: World, signals: Signals) -> None:
    first, _ = await submit_numbers(world, 4, segment_size=1)
    rows = [await world.add_text(f"more-{n}", "1") for n in range(4)]
    model_id = (await world.run(first)).catalog_model_id
    assert model_id is not None
    second = await world.start_run(MODEL, model_id, rows, segment_size=1)
    order = [(await claimed(world, signals)).model_run_id for _ in range(8)]
    for turn in range(0, 8, 2):
        assert set(order[turn : turn + 2]) == {first, second}
    assert await claim(world, signals) is None


async def test_a_run_that_ends_its_segments_soon_does_not_come_first(world: World, signals: Signals) -> None:
    first, rows = await submit_numbers(world, 3, segment_size=1)
    model_id = (await world.run(first)).catalog_model_id
    assert model_id is not None
    second = await world.start_run(MODEL, model_id, rows[:1], segment_size=1)
    one = await claimed(world, signals)
    await store(world, one, *one.pending)
    await finish(world, signals, one)
    assert {one.model_run_id, (await claimed(world, signals)).model_run_id} == {first, second}


async def test_other_projects_come_before_the_ones_held(world: World, signals: Signals) -> None:
    first, _ = await submit_numbers(world, 3, segment_size=1)
    model_id = (await world.run(first)).catalog_model_id
    assert model_id is not None
    other = await make_world(world.sessions, world.store, "text")
    second = await other.start_run(MODEL, model_id, await add_numbers(other, 3), segment_size=1)
    one = await claimed(world, signals)
    two = await claimed(world, signals, held=(one.project_id,))
    assert {one.model_run_id, two.model_run_id} == {first, second}
    three = await claimed(world, signals, held=(two.project_id,))
    assert three.project_id != two.project_id
    held = (world.project_id, other.project_id)
    assert await claim(world, signals, held=held) is not None, "rather a held project than nothing"


async def test_no_segment_is_taken_that_cannot_be_worked_on(world: World, signals: Signals) -> None:
    await submit_numbers(world, 1)
    for state in ("paused", "cancelled", "failed", "completed", "completed_with_errors"):
        await execute(world, "UPDATE model_runs SET state = :state", state=state)
        assert await claim(world, signals) is None, state
    await execute(world, "UPDATE model_runs SET state = 'running'")
    for state in ("loading", "unavailable"):
        await execute(world, "UPDATE catalog_models SET state = :state", state=state)
        assert await claim(world, signals) is None, state
    await execute(world, "UPDATE catalog_models SET state = 'ready'")
    assert await claim(world, signals) is not None


async def test_previews_are_not_for_workers_of_runs(world: World, signals: Signals) -> None:
    await submit_numbers(world, 1)
    await execute(world, "UPDATE model_runs SET purpose = 'preview'")
    assert await claim(world, signals) is None


# --- leases ---------------------------------------------------------------------------------------------------------


async def test_who_lost_the_lease_leaves_nothing(world: World, signals: Signals) -> None:
    _, rows = await submit_numbers(world, 4)
    one = await claimed(world, signals)
    await store(world, one, rows[0])
    await execute(world, "UPDATE segments SET generation = generation + 1")
    before = await everything(world)
    with pytest.raises(LeaseLost):
        await store(world, one, *rows[1:3], failed=(rows[3],))
    with pytest.raises(LeaseLost):
        await finish(world, signals, one)
    async with world.sessions.begin() as session:
        with pytest.raises(LeaseLost):
            await segments.suspect(session, one, rows[1])
        assert await segments.heartbeat(session, [one]) == set()
        await segments.give_back(session, one)
    assert await everything(world) == before


async def test_a_silent_worker_loses_its_segment(world: World, signals: Signals) -> None:
    _, rows = await submit_numbers(world, 4)
    old = await claimed(world, signals, holder="old")
    await store(world, old, rows[0])
    await silent_for(world, LEASE_SECONDS - 1)
    assert await claim(world, signals) is None, "not yet"
    await silent_for(world, LEASE_SECONDS + 1)
    new = await claimed(world, signals, holder="new")
    assert (new.segment_id, new.generation, new.taken_over) == (old.segment_id, old.generation + 1, True)
    assert list(new.pending) == rows[1:], "what is stored is not done again"
    async with world.sessions.begin() as session:
        assert await segments.heartbeat(session, [old, new]) == {new.lease}
    with pytest.raises(LeaseLost):
        await store(world, old, rows[1])
    await store(world, new, *rows[1:])
    assert len(await world.outcomes(new.model_run_id)) == 4


async def test_a_heartbeat_keeps_the_lease(world: World, signals: Signals) -> None:
    await submit_numbers(world, 1)
    one = await claimed(world, signals)
    await silent_for(world, LEASE_SECONDS - 0.5)
    async with world.sessions.begin() as session:
        assert await segments.heartbeat(session, [one]) == {one.lease}
    await asyncio.sleep(0.6)
    assert await claim(world, signals) is None


async def test_what_is_given_back_is_free_at_once_and_without_blame(world: World, signals: Signals) -> None:
    await submit_numbers(world, 4)
    one = await claimed(world, signals)
    async with world.sessions.begin() as session:
        await segments.give_back(session, one)
    again = await claimed(world, signals)
    assert (again.segment_id, again.generation, again.taken_over) == (one.segment_id, one.generation + 1, False)
    async with world.sessions.begin() as session:
        await segments.give_back(session, one)  # too late
    assert await claim(world, signals) is None


async def test_heartbeats_and_a_cancel_do_not_lock_each_other_out(world: World, signals: Signals) -> None:
    run_id, _ = await submit_numbers(world, 60, segment_size=1)
    held = [await claimed(world, signals) for _ in range(60)]

    async def beat() -> set[segments.Lease]:
        async with world.sessions.begin() as session:
            return await segments.heartbeat(session, held[::-1])

    async def cancel() -> None:
        async with unit_of_work(world.sessions, signals, "member:test") as work:
            await cancel_model_run(work, admin(world), run_id, "keep")

    async with asyncio.timeout(10):
        answers = await asyncio.gather(beat(), beat(), cancel(), beat(), beat())
    assert all(answer is None or len(answer) in {0, 60} for answer in answers)
    assert await beat() == set()


# --- the end of a run -----------------------------------------------------------------------------------------------


async def test_whoever_ends_the_last_segment_ends_the_run_once(world: World, signals: Signals) -> None:
    run_id, rows = await submit_numbers(world, 16, segment_size=2)
    held = [await claimed(world, signals) for _ in range(8)]
    for one in held:
        await store(world, one, one.pending[0], failed=one.pending[1:])
    await asyncio.gather(*(finish(world, signals, one) for one in held))
    events = await world.event_types()
    assert [kind for _, kind in events][1:] == ["model_run.started", "model_run.completed_with_errors"]
    run = await world.run(run_id)
    assert (run.succeeded, run.failed, run.detections, run.total) == (8, 8, 8, len(rows))
    payload = await last_payload(world)
    assert (payload["succeeded"], payload["failed"], payload["detections"]) == (8, 8, 8)
    assert payload["state"] == run.state == "completed_with_errors"


async def test_a_stored_batch_is_whole(world: World, signals: Signals) -> None:
    run_id, rows = await submit_numbers(world, 3)
    one = await claimed(world, signals)
    await store(world, one, rows[0], rows[1], failed=(rows[2],))
    outcomes = {outcome.data_row_id: outcome for outcome in await world.outcomes(run_id)}
    assert [outcomes[row].state for row in rows] == ["succeeded", "succeeded", "failed"]
    assert (outcomes[rows[2]].stage, outcomes[rows[2]].code) == ("decode", "undecodable_text")
    assert [found.model_class for found in await world.detections(run_id)] == ["even", "even"]
    (segment,) = await world.segments(run_id)
    assert (segment.succeeded, segment.failed, segment.detections) == (2, 1, 2)
    async with world.sessions() as session:
        ledger = (await session.execute(text("SELECT model_class, reason, count FROM ledger_counts"))).all()
        facts = (await session.execute(text("SELECT length FROM data_row_contents WHERE sha256 IS NOT NULL"))).all()
    # A whole row's class cannot be a radio without an option.
    assert [tuple(count) for count in ledger] == [("even", "not_convertible", 2)]
    assert [tuple(fact) for fact in facts] == [(1,), (1,)]


async def last_payload(world: World) -> dict[str, Any]:
    async with world.sessions() as session:
        query = text(
            "SELECT payload::jsonb -> 'data' FROM events WHERE stream_id = :id ORDER BY \"offset\" DESC LIMIT 1"
        )
        found: dict[str, Any] = await session.scalar(query, {"id": world.project_id})
    return found


# --- a row that kills its workers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 2])
async def test_a_row_that_costs_three_leases_fails_and_the_others_do_not(world: World, lanes: int) -> None:
    """With two lanes the other segment's rows are under way in the process that dies."""
    run_id, rows = await submit_numbers(world, 20, segment_size=12)
    poison, deaths = 11, 0
    reached = asyncio.Event()

    async def crash(numbers: Numbers) -> None:
        if poison in numbers:
            reached.set()
            await asyncio.Event().wait()

    while True:
        model = FakeTriton(crash)
        async with working(world, model, inference_lanes=lanes, inference_batches_in_flight=2) as running:
            ended = asyncio.create_task(until_ended(world, run_id))
            crashed = asyncio.create_task(reached.wait())
            await asyncio.wait({ended, crashed}, return_when=asyncio.FIRST_COMPLETED)
            crashed.cancel()
            if reached.is_set():
                deaths += 1
                ended.cancel()
                await running.kill()
            else:
                break
        assert deaths < 10
        reached.clear()
        await silent_for(world, LEASE_SECONDS + 1)
    assert deaths == 3
    assert ended.result() == "completed_with_errors"
    outcomes = {outcome.data_row_id: outcome for outcome in await world.outcomes(run_id)}
    failed = outcomes.pop(rows[poison])
    assert (failed.stage, failed.code, failed.attempts) == ("inference", "worker_crashed", 3)
    assert {outcome.state for outcome in outcomes.values()} == {"succeeded"}
    assert len(outcomes) == 19


async def test_a_run_that_cannot_be_read_costs_itself_alone(world: World) -> None:
    model_id, rows = await world.add_model(MODEL), await add_numbers(world, 2)
    broken, sound = [await world.start_run(MODEL, model_id, rows) for _ in range(2)]
    async with world.sessions.begin() as session:
        await session.execute(
            text("UPDATE model_runs SET configuration = configuration - 'digest' WHERE id = :id"), {"id": broken}
        )
        await session.execute(
            text("UPDATE model_runs SET configuration = configuration || '{\"of_a_newer_api\": 1}' WHERE id = :id"),
            {"id": sound},
        )
    async with working(world, FakeTriton()) as running:
        assert await until_ended(world, broken) == "failed"
        assert await until_ended(world, sound) == "completed"
        assert running.works


# --- what the dead leave --------------------------------------------------------------------------------------------


async def test_only_what_a_silent_worker_has_lost(world: World, signals: Signals) -> None:
    await submit_numbers(world, 2, segment_size=1)
    assert await claim(world, signals, only_left=True) is None, "these are open"
    old = await claimed(world, signals, holder="old")
    assert await claim(world, signals, only_left=True) is None, "it lives"
    await silent_for(world, LEASE_SECONDS + 1)
    left = await claimed(world, signals, holder="new", only_left=True)
    assert (left.segment_id, left.generation, left.taken_over) == (old.segment_id, old.generation + 1, True)
    assert await claim(world, signals, only_left=True) is None


async def test_what_the_dead_leave_waits_for_no_lane(world: World, signals: Signals) -> None:
    run_id, rows = await submit_numbers(world, 48, segment_size=16)
    dead = [await claimed(world, signals, holder="dead") for _ in range(2)]
    go_on = asyncio.Event()

    async def wait(numbers: Numbers) -> None:
        del numbers
        await go_on.wait()

    model = FakeTriton(wait)
    async with working(world, model, inference_lanes=1) as running:
        await until(lambda: bool(model.calls))
        (busy,) = running.worker.held.values()
        await execute(
            world,
            "UPDATE segments SET heartbeat_at = clock_timestamp() - make_interval(secs => :long) WHERE holder = 'dead'",
            long=LEASE_SECONDS + 1,
        )
        await until(lambda: len(running.worker.held) == 3)
        assert busy.lease in running.worker.held, "its lane is still at work"
        left = [one for one in running.worker.held.values() if one.taken_over]
        assert {one.segment_id for one in left} == {one.segment_id for one in dead}
        go_on.set()
        assert await until_ended(world, run_id) == "completed"
        assert running.works
    assert sorted(outcome.data_row_id for outcome in await world.outcomes(run_id)) == sorted(rows)


# --- cancel ---------------------------------------------------------------------------------------------------------


def admin(world: World) -> Principal:
    return Principal(world.workspace_id, world.member_id, new_id(), Role.ADMIN)


async def test_a_cancel_during_a_batch_is_final(world: World, signals: Signals) -> None:
    run_id, _ = await submit_numbers(world, 64)
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def wait(numbers: Numbers) -> None:
        if 16 in numbers:
            under_way.set()
            await go_on.wait()

    model = FakeTriton(wait)
    async with working(world, model, inference_lanes=1, inference_batches_in_flight=1) as running:
        await under_way.wait()
        async with unit_of_work(world.sessions, signals, "member:test") as work:
            await cancel_model_run(work, admin(world), run_id, "keep")
        after = await everything(world)
        go_on.set()
        await until(lambda: not running.worker.held)
        assert await everything(world) == after, "no result after the event"
        assert len(model.calls) == 2, "no call after the batch under way"
        assert running.works
    assert len(await world.outcomes(run_id)) == 16
    run = await world.run(run_id)
    assert (run.state, run.succeeded) == ("cancelled", 16)
    assert (await world.event_types())[-1][1] == "model_run.cancelled"


async def test_a_heartbeat_drops_what_is_no_longer_held(world: World, signals: Signals) -> None:
    run_id, _ = await submit_numbers(world, 16)

    async def wait(numbers: Numbers) -> None:
        del numbers
        await asyncio.Event().wait()

    model = FakeTriton(wait)
    async with working(world, model, inference_heartbeat_seconds=0.05) as running:
        await until(lambda: bool(model.calls))
        async with unit_of_work(world.sessions, signals, "member:test") as work:
            await cancel_model_run(work, admin(world), run_id, "discard")
        await until(lambda: not running.worker.held)
        assert running.works
    assert await world.outcomes(run_id) == []


async def test_two_lanes_may_hold_one_segment_one_after_the_other(world: World) -> None:
    """While PostgreSQL was away no heartbeat was heard, and the worker's other lane takes the segment over."""
    run_id, rows = await submit_numbers(world, 8)
    first = asyncio.Event()

    async def wait(numbers: Numbers) -> None:
        if not first.is_set() and len(numbers) == 8:
            await first.wait()

    model = FakeTriton(wait)
    async with working(world, model, inference_lanes=2, inference_heartbeat_seconds=60) as running:
        await until(lambda: bool(model.calls))
        await silent_for(world, LEASE_SECONDS + 1)
        await until(lambda: len(running.worker.held) == 2 or len(model.calls) > 2)
        first.set()
        assert await until_ended(world, run_id) == "completed"
        await until(lambda: not running.worker.held)
        assert running.works
    assert sorted(outcome.data_row_id for outcome in await world.outcomes(run_id)) == sorted(rows)
