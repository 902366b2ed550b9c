"""Verbs of a run while workers are at it: what is stored stays, what comes too late leaves nothing."""

import asyncio
import random
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.inference.failures import ModelAway, ModelRejected
from shared.contracts.events import TERMINAL_STATES
from shared.contracts.run_verbs import RunVerb
from shared.errors import Conflict
from shared.signals import Signals
from tests.support.verbs import counted, do, events
from tests.support.waiting import until
from tests.support.workers import (
    MODEL,
    FakeTriton,
    Numbers,
    submit_numbers,
    until_ended,
    working,
)
from tests.support.world import World


async def test_a_pause_in_mid_run_keeps_what_is_stored_and_a_resume_does_the_rest(
    world: World, signals: Signals
) -> None:
    run_id, rows = await submit_numbers(world, 160)
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def wait(numbers: Numbers) -> None:
        if 48 in numbers:
            under_way.set()
            await go_on.wait()

    model = FakeTriton(wait)
    async with working(world, model, inference_lanes=1, inference_batches_in_flight=1) as running:
        await under_way.wait()
        await do(world, signals, "pause", run_id)
        before = await world.outcomes(run_id)
        assert [outcome.data_row_id for outcome in before] == sorted(rows[:48])
        assert (await counted(world, run_id)).succeeded == 48
        go_on.set()
        await until(lambda: not running.worker.held)
        assert [o.data_row_id for o in await world.outcomes(run_id)] == sorted(rows[:48]), "nothing comes late"
        assert len(model.calls) == 4, "no call after the batch under way"
        paused = await world.run(run_id)
        assert (paused.state, paused.finished_at) == ("paused", None)
        assert {one.state for one in (await world.segments(run_id))[1:]} == {"open"}
        await do(world, signals, "pause", run_id)

        await do(world, signals, "resume", run_id)
        await do(world, signals, "resume", run_id)
        assert await until_ended(world, run_id) == "completed"
    assert (await counted(world, run_id)).succeeded == 160
    called = Counter(number for call in model.calls for number in call)
    assert {number for number, times in called.items() if times > 1} == set(range(48, 64)), "only what was under way"
    told = await events(world, run_id)
    assert [one["type"] for one in told] == ["queued", "started", "paused", "resumed", "started", "completed"]
    assert [one["succeeded"] for one in told[2:4]] == [48, 48]
    assert (told[-1]["succeeded"], told[-1]["detections"]) == (160, len(await world.detections(run_id)))


@pytest.mark.parametrize("verb", ["pause", "cancel"])
async def test_several_lanes_begin_no_batch_after_those_under_way(
    world: World, signals: Signals, verb: RunVerb
) -> None:
    """By the commits alone: the heartbeat is a minute away. Those under way may still wait for a place at the model."""
    run_id, _ = await submit_numbers(world, 640, segment_size=320)
    many, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: Numbers) -> None:
        if len(model.calls) >= 4:
            many.set()
        await go_on.wait()

    model = FakeTriton(wait)
    how: dict[str, Any] = {"inference_lanes": 2, "inference_batches_in_flight": 4, "inference_heartbeat_seconds": 60}
    async with working(world, model, **how) as running:
        await many.wait()
        await do(world, signals, verb, run_id)
        go_on.set()
        await until(lambda: not running.worker.held)
        assert 4 <= len(model.calls) <= 8
        assert running.works
    assert await world.outcomes(run_id) == []
    assert (await counted(world, run_id)).done == 0


async def test_a_paused_run_leaves_the_worker_to_others(world: World, signals: Signals) -> None:
    first, _ = await submit_numbers(world, 64)
    model_id = (await world.run(first)).catalog_model_id
    assert model_id is not None

    async def never(numbers: Numbers) -> None:
        if len(numbers) > 1:
            await asyncio.Event().wait()

    model = FakeTriton(never)
    async with working(world, model, inference_lanes=1, inference_heartbeat_seconds=0.05) as running:
        await until(lambda: bool(model.calls))
        await do(world, signals, "pause", first)
        await until(lambda: not running.worker.held)
        other = [await world.add_text("other", "1")]
        second = await world.start_run(MODEL, model_id, other)
        assert await until_ended(world, second) == "completed"
    assert (await world.run(first)).state == "paused"
    await do(world, signals, "cancel", first)
    assert [one["type"] for one in await events(world, first)][-2:] == ["paused", "cancelled"]
    assert {one.state for one in await world.segments(first)} == {"cancelled"}


async def test_a_stalled_run_can_be_paused_and_waits_again_when_resumed(world: World, signals: Signals) -> None:
    run_id, _ = await submit_numbers(world, 32)

    async def away(_: Numbers) -> None:
        if model.state[0] != "READY":
            raise ModelAway("it is being loaded")

    model = FakeTriton(away)
    model.state = ("UNAVAILABLE", "unloaded")
    async with working(world, model, inference_patience_seconds=0.1):
        async with world.sessions.begin() as session:
            await session.execute(text("UPDATE model_runs SET state = 'stalled' WHERE id = :id"), {"id": run_id})
        await do(world, signals, "pause", run_id)
        model.state = ("READY", "")
        await asyncio.sleep(0.3)
        assert (await world.run(run_id)).state == "paused", "a model that is back wakes no paused run"
        await do(world, signals, "resume", run_id)
        assert await until_ended(world, run_id) == "completed"


async def test_a_retry_touches_only_failed_rows(world: World, signals: Signals) -> None:
    run_id, rows = await submit_numbers(world, 96)
    bad = {3, 40, 41, 95}
    refused = set(bad)

    async def refuse(numbers: Numbers) -> None:
        if refused & set(numbers):
            raise ModelRejected("not this one")

    model = FakeTriton(refuse)
    async with working(world, model):
        assert await until_ended(world, run_id) == "completed_with_errors"
        first = await _kept(world, run_id)
        assert [rows.index(o.data_row_id) for o in await world.outcomes(run_id) if o.state == "failed"] == sorted(bad)
        tries = {rows.index(o.data_row_id): o.attempts for o in await world.outcomes(run_id)}

        refused.remove(41)
        model.calls.clear()
        await do(world, signals, "retry_failed", run_id)
        assert await until_ended(world, run_id) == "completed_with_errors"
        assert {number for call in model.calls for number in call} == bad
        second = await _kept(world, run_id)
        assert {row: kept for row, kept in second.items() if row in first} == first, "what succeeded is untouched"
        by_place = {rows.index(o.data_row_id): o for o in await world.outcomes(run_id)}
        assert (by_place[41].state, by_place[41].execution) == ("succeeded", 2)
        assert by_place[41].attempts == 1 + tries[41]
        assert all(by_place[place].attempts > tries[place] for place in bad)

        refused.clear()
        await do(world, signals, "retry_failed", run_id)
        assert await until_ended(world, run_id) == "completed"
    assert sorted(o.data_row_id for o in await world.outcomes(run_id)) == sorted(rows)
    run = await world.run(run_id)
    assert (run.execution, run.succeeded, run.failed) == (3, 96, 0)
    await counted(world, run_id)
    told = await events(world, run_id)
    ends = [(one["execution"], one["type"], one["failed"]) for one in told if one["state"] in TERMINAL_STATES]
    assert ends == [(1, "completed_with_errors", 4), (2, "completed_with_errors", 3), (3, "completed", 0)]
    with pytest.raises(Conflict) as caught:
        await do(world, signals, "retry_failed", run_id)
    assert caught.value.code == "illegal_transition"


async def _kept(world: World, run_id: UUID) -> dict[UUID, Any]:
    """What succeeded, with its detections."""
    detections = Counter(
        (d.data_row_id, d.ordinal, d.model_class, d.confidence) for d in await world.detections(run_id)
    )
    return {
        outcome.data_row_id: (
            outcome.execution,
            outcome.attempts,
            outcome.created_at,
            outcome.segment_id,
            sorted(one[1:] for one in detections if one[0] == outcome.data_row_id),
        )
        for outcome in await world.outcomes(run_id)
        if outcome.state == "succeeded"
    }


class _OtherVersion(FakeTriton):
    other: str | None = None

    async def digest(self, model: str) -> str | None:
        return self.other or await super().digest(model)


async def test_a_run_whose_model_changed_fails_again_until_the_model_is_back(world: World, signals: Signals) -> None:
    run_id, rows = await submit_numbers(world, 64)
    changed = asyncio.Event()

    async def change(numbers: Numbers) -> None:
        if 16 in numbers and not changed.is_set():
            changed.set()
            model.other = "another digest"
            raise ModelAway("it is being loaded")

    model = _OtherVersion(change)
    async with working(world, model, inference_lanes=1, inference_batches_in_flight=1):
        assert await until_ended(world, run_id) == "failed"
        assert len(await world.outcomes(run_id)) == 16
        await do(world, signals, "retry_failed", run_id)
        assert await until_ended(world, run_id) == "failed"
        again = await world.run(run_id)
        assert again.execution == 2
        assert "another version" in (again.state_reason or "")
        first = await _kept(world, run_id)
        assert len(first) == 16, "no row of another version"

        model.other = None
        await do(world, signals, "retry_failed", run_id)
        assert await until_ended(world, run_id) == "completed", "with the rows it had never come to"
    assert sorted(o.data_row_id for o in await world.outcomes(run_id)) == sorted(rows)
    kept = await _kept(world, run_id)
    assert {row: one for row, one in kept.items() if row in first} == first
    assert {one[1] for one in kept.values()} == {1}, "what was never run was not tried before"
    await counted(world, run_id)


async def test_verbs_at_once_meet_no_deadlock(world: World, signals: Signals) -> None:
    """Twenty verbs while two workers claim and store; every refusal is a Conflict."""
    run_id, rows = await submit_numbers(world, 200, segment_size=4)
    luck = random.Random(7)

    async def one(verb: RunVerb) -> None:
        await asyncio.sleep(luck.random() * 0.5)
        try:
            await do(world, signals, verb, run_id)
        except Conflict as conflict:
            assert conflict.code == "illegal_transition"  # noqa: PT017

    async with working(world, FakeTriton(), inference_lanes=4) as running:
        await asyncio.gather(*(one(luck.choice(("pause", "resume", "resume"))) for _ in range(20)))
        await one("resume")
        assert await until_ended(world, run_id) == "completed"
        assert running.works
    assert sorted(o.data_row_id for o in await world.outcomes(run_id)) == sorted(rows)
    await counted(world, run_id)
