"""A result the workspace has is copied: equal detections without a call of the model, seen as this run wants it."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, text, update

from services.inference import reuse
from services.inference.decoders import DECODERS
from services.inference.recipe import recipe_key
from services.inference.segments import LeaseLost
from shared.alignment import AlignmentEntry, Target
from shared.annotations import FeatureType
from shared.database.engine import Sessions
from shared.database.tables import DataRowContentRow, DetectionRow, ModelRunRow, ProjectRow, RowOutcomeRow
from shared.ids import new_id
from shared.object_store import ObjectStore
from shared.signals import Signals
from tests.support.leases import claim
from tests.support.runs import add_model
from tests.support.waiting import until
from tests.support.workers import (
    MODEL,
    FakeTriton,
    Numbers,
    add_numbers,
    until_ended,
    working,
)
from tests.support.world import World, make_world

ROWS = 40


def chooses(model_class: str, threshold: float, feature: UUID) -> AlignmentEntry:
    """The class as an option of a radio."""
    target = Target(feature_schema_id=feature, option_id=new_id())
    return AlignmentEntry(model_class=model_class, target=target, target_type=FeatureType.RADIO, threshold=threshold)


PARITY = new_id()
ENTRIES = (chooses("even", 0.5, PARITY), chooses("odd", 0.5, PARITY))


async def submit(world: World, rows: list[UUID], entries: tuple[AlignmentEntry, ...] = ENTRIES, **frozen: Any) -> UUID:
    """A queued run of the numbers' model; other values of its frozen configuration by name."""
    model_id = await add_model(world.sessions, MODEL.card)
    return await world.start_run(MODEL, model_id, rows, entries=entries, segment_size=16, **frozen)


async def run_again(world: World, rows: list[UUID], **changed: Any) -> UUID:
    """A worker must be there."""
    run_id = await submit(world, rows, **changed)
    assert await until_ended(world, run_id, 60) == "completed"
    return run_id


async def said(world: World, run_id: UUID) -> list[tuple[Any, ...]]:
    return [
        (one.data_row_id, one.ordinal, one.model_class, one.confidence, one.area, one.attributes, one.annotation)
        for one in await world.detections(run_id)
    ]


async def seen(world: World, run_id: UUID) -> tuple[list[Any], list[Any]]:
    """Projections by data row, and the ledger summed over segments."""
    async with world.sessions() as session:
        projections = await session.execute(
            text("SELECT data_row_id, shown, uncertainty FROM row_projections WHERE model_run_id = :run ORDER BY 1"),
            {"run": run_id},
        )
        ledger = await session.execute(
            text(
                "SELECT model_class, reason, sum(count) FROM ledger_counts WHERE model_run_id = :run "
                "GROUP BY 1, 2 ORDER BY 1, 2"
            ),
            {"run": run_id},
        )
        return list(projections.all()), list(ledger.all())


async def discard(world: World, run_id: UUID) -> None:
    async with world.sessions.begin() as session:
        await session.execute(update(ModelRunRow).where(ModelRunRow.id == run_id).values(results_discarded=True))


async def forget(world: World, run_id: UUID) -> None:
    """As a removed preview is."""
    async with world.sessions.begin() as session:
        for table in (DetectionRow, RowOutcomeRow):
            await session.execute(delete(table).where(table.model_run_id == run_id))
        await session.execute(delete(ModelRunRow).where(ModelRunRow.id == run_id))


async def test_a_second_run_over_known_rows_calls_no_model(world: World) -> None:
    rows, model = await add_numbers(world, ROWS), FakeTriton()
    async with working(world, model):
        first = await run_again(world, rows)
        calls = list(model.calls)
        second = await run_again(world, rows)
        third = await run_again(world, rows)
    assert model.calls == calls
    assert sum(len(numbers) for numbers in calls) == ROWS
    assert len(await said(world, first)) == 2 * ROWS
    for run_id in (second, third):
        assert await said(world, run_id) == await said(world, first)
        assert await seen(world, run_id) == await seen(world, first)
        run = await world.run(run_id)
        assert (run.succeeded, run.failed, run.detections) == (ROWS, 0, 2 * ROWS)
        outcomes = await world.outcomes(run_id)
        assert [one.data_row_id for one in outcomes] == sorted(rows)
        # The one that asked the model, not the one between.
        assert {(one.state, one.attempts, one.reused_from_run_id) for one in outcomes} == {("succeeded", 0, first)}
        assert all(one.reused_from_row_id == one.data_row_id for one in outcomes)
    assert {one.reused_from_run_id for one in await world.outcomes(first)} == {None}


async def test_copied_rows_are_no_measure_of_the_model(world: World) -> None:
    rows = await add_numbers(world, ROWS)
    async with working(world, FakeTriton()):
        await run_again(world, rows)
    async with working(world, FakeTriton()) as worker:
        parts = worker.worker._parts
        await run_again(world, rows)
        assert not parts.speed._stretches


async def test_another_alignment_shows_the_same_detections_otherwise(world: World) -> None:
    rows, model = await add_numbers(world, ROWS), FakeTriton()
    stricter = (chooses("even", 0.95, PARITY), chooses("odd", 0.5, PARITY))
    async with working(world, model):
        first = await run_again(world, rows)
        second = await run_again(world, rows, entries=stricter)
    assert sum(len(numbers) for numbers in model.calls) == ROWS
    assert await said(world, second) == await said(world, first)
    shown = {
        run_id: sum(projection.shown for projection in (await seen(world, run_id))[0]) for run_id in (first, second)
    }
    assert shown == {first: ROWS, second: ROWS // 2}


@pytest.mark.parametrize(
    "changed", [{"floor": 0.2}, {"criteria": {"even": "divisible by two"}}, {"reuse": False}], ids=str
)
async def test_another_question_is_asked_anew(world: World, changed: dict[str, Any]) -> None:
    rows, model = await add_numbers(world, 8), FakeTriton()
    async with working(world, model):
        await run_again(world, rows)
        second = await run_again(world, rows, **changed)
    assert sum(len(numbers) for numbers in model.calls) == 16
    assert {one.reused_from_run_id for one in await world.outcomes(second)} == {None}


async def test_another_version_of_the_decoder_asks_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, model = await add_numbers(world, 8), FakeTriton()
    async with working(world, model):
        await run_again(world, rows)
        monkeypatch.setitem(DECODERS, "classification", replace(DECODERS["classification"], version=99))
        await run_again(world, rows)
    assert sum(len(numbers) for numbers in model.calls) == 16


@pytest.mark.parametrize("remove", [discard, forget])
async def test_results_that_are_gone_are_not_copied(world: World, remove: Any) -> None:
    rows, model = await add_numbers(world, 8), FakeTriton()
    async with working(world, model):
        first = await run_again(world, rows)
        await remove(world, first)
        second = await run_again(world, rows)
        assert sum(len(numbers) for numbers in model.calls) == 16
        # What the second found is there.
        third = await run_again(world, rows)
    assert sum(len(numbers) for numbers in model.calls) == 16
    assert {one.reused_from_run_id for one in await world.outcomes(third)} == {second}


async def test_results_of_a_deleted_project_and_of_a_foreign_workspace_are_not_copied(
    world: World, sessions: Sessions, object_store_url: str
) -> None:
    model, store = FakeTriton(), ObjectStore(object_store_url)
    foreign = await make_world(sessions, store, "text")
    async with working(world, model):
        await run_again(foreign, await add_numbers(foreign, 4))
        rows = await add_numbers(world, 4)
        await run_again(world, rows)
        assert sum(len(numbers) for numbers in model.calls) == 8
        async with sessions.begin() as session:
            deleted = update(ProjectRow).where(ProjectRow.id == world.project_id)
            await session.execute(deleted.values(deleted_at=text("now()")))
        await run_again(world, rows)
    assert sum(len(numbers) for numbers in model.calls) == 12


async def test_it_is_the_content_that_counts(world: World) -> None:
    rows, model = await add_numbers(world, 2), FakeTriton()
    same, other = await world.add_text("same", "1"), await world.add_text("other", "7")
    async with working(world, model):
        first = await run_again(world, [*rows, other])
        async with world.sessions.begin() as session:
            # As an import of a text, and as a row whose content is another one by now.
            for row, sha256_of in ((same, rows[1]), (rows[0], other)):
                sha256 = await session.scalar(
                    text("SELECT sha256 FROM data_row_contents WHERE data_row_id = :id"), {"id": sha256_of}
                )
                changed = update(DataRowContentRow).where(DataRowContentRow.data_row_id == row)
                await session.execute(changed.values(sha256=sha256))
        second = await run_again(world, [rows[0], same])
    assert sum(len(numbers) for numbers in model.calls) == 3
    sources = {
        one.data_row_id: (one.reused_from_run_id, one.reused_from_row_id) for one in await world.outcomes(second)
    }
    assert sources == {same: (first, rows[1]), rows[0]: (first, other)}
    surest = {one.data_row_id: one.model_class for one in await world.detections(second) if one.confidence > 0.5}
    assert surest == {same: "odd", rows[0]: "odd"}


async def test_rows_of_equal_content_and_runs_at_once_have_one_outcome_each(world: World) -> None:
    rows = [await world.add_text(f"row-{place}", str(place % 3)) for place in range(48)]
    runs = [await submit(world, rows) for _ in range(4)]
    async with working(world, FakeTriton()):
        assert [await until_ended(world, run_id, 60) for run_id in runs] == ["completed"] * 4
    for run_id in runs:
        assert [one.data_row_id for one in await world.outcomes(run_id)] == sorted(rows)
        assert len(await world.detections(run_id)) == 96
        assert (await world.run(run_id)).detections == 96
        assert await said(world, run_id) == await said(world, runs[0])


async def test_some_are_known_and_some_are_not(world: World) -> None:
    rows, model = await add_numbers(world, ROWS), FakeTriton()

    async def breaks_on_13(numbers: Numbers) -> None:
        if 13 in numbers:
            raise RuntimeError("an error of ours")

    async with working(world, model):
        await run_again(world, rows[::2])
        model.calls.clear()
        model.behaviour = breaks_on_13
        second = await submit(world, rows)
        assert await until_ended(world, second, 60) == "completed_with_errors"
    assert not {number for numbers in model.calls for number in numbers if number % 2 == 0}
    run = await world.run(second)
    assert (run.succeeded, run.failed) == (ROWS - 1, 1)
    assert len(await world.outcomes(second)) == ROWS


async def test_a_crash_while_rows_are_copied_leaves_one_outcome_each(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, model = await add_numbers(world, ROWS), FakeTriton()
    async with working(world, model):
        first = await run_again(world, rows)
    calls, portions, hangs = len(model.calls), 0, asyncio.Event()
    project = reuse._Copy._store_projections

    async def until_killed(self: Any, session: Any, selections: Any) -> None:
        nonlocal portions
        portions += 1
        await project(self, session, selections)
        if portions > 2:
            hangs.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(reuse, "_DETECTIONS_AT_ONCE", 6)
    monkeypatch.setattr(reuse._Copy, "_store_projections", until_killed)
    async with working(world, model, inference_lanes=1) as worker:
        second = await submit(world, rows)
        await until(hangs.is_set, 30)
        await worker.kill()
        monkeypatch.setattr(reuse._Copy, "_store_projections", project)
        assert 0 < len(await world.outcomes(second)) < ROWS
    async with world.sessions.begin() as session:
        await session.execute(text("UPDATE segments SET heartbeat_at = heartbeat_at - interval '1 minute'"))
    async with working(world, model):
        assert await until_ended(world, second, 60) == "completed"
    assert len(model.calls) == calls
    assert await said(world, second) == await said(world, first)
    assert await seen(world, second) == await seen(world, first)
    assert [(one.succeeded, one.detections) for one in await world.segments(second)] == [(16, 32), (16, 32), (8, 16)]


async def test_nothing_is_copied_without_the_lease_or_from_what_went_meanwhile(world: World, signals: Signals) -> None:
    rows, model = await add_numbers(world, 8), FakeTriton()
    async with working(world, model) as worker:
        first = await run_again(world, rows)
        parts = worker.worker._parts
    second = await submit(world, rows)
    taken = await claim(world, signals)
    assert taken is not None
    with pytest.raises(LeaseLost):
        await reuse.reuse_known(parts, replace(taken, generation=taken.generation - 1))
    key = recipe_key(taken.configuration)
    assert key is not None
    known = await reuse._look(parts, taken, key)
    assert len(known) == 8
    await discard(world, first)
    assert await reuse._Copy(parts, taken, known).store() == set()
    assert await world.outcomes(second) == []
    assert await world.detections(second) == []
