"""A worker keeps what it finds in withheld data rows apart, and takes it for nobody else."""

from uuid import UUID

from sqlalchemy import func, select

from shared.alignment import AlignmentEntry, Target
from shared.annotations import FeatureType
from shared.database.tables import LedgerCountRow, RowProjectionRow, WithheldDetectionRow, WithheldRowRow
from shared.database.withholding import find_withheld
from shared.ids import new_id
from tests.support.workers import MODEL, FakeTriton, add_numbers, until_ended, working
from tests.support.world import World


async def _withhold(world: World, *rows: UUID) -> None:
    async with world.sessions.begin() as session:
        session.add_all(
            WithheldRowRow(data_row_id=row, workspace_id=world.workspace_id, project_id=world.project_id)
            for row in rows
        )


async def _run(world: World, rows: list[UUID], model_id: UUID) -> UUID:
    parity = new_id()
    entries = [
        AlignmentEntry(
            model_class=name,
            target=Target(feature_schema_id=parity, option_id=new_id()),
            target_type=FeatureType.RADIO,
            threshold=0.3,
        )
        for name in ("even", "odd")
    ]
    run_id = await world.start_run(MODEL, model_id, rows, entries=entries, segment_size=4)
    async with working(world, FakeTriton()):
        assert await until_ended(world, run_id) == "completed"
    return run_id


async def test_what_is_found_in_withheld_rows_is_kept_apart(world: World) -> None:
    rows = await add_numbers(world, 10)
    hidden = {rows[3], rows[8]}
    await _withhold(world, *hidden)
    run_id = await _run(world, rows, await world.add_model(MODEL))
    outcomes = {one.data_row_id: one for one in await world.outcomes(run_id)}
    assert {row for row, one in outcomes.items() if one.state == "succeeded" and one.detections} == set(rows) - hidden
    assert all(outcomes[row].fingerprint is None and outcomes[row].timings for row in hidden)
    shown = await world.detections(run_id)
    assert {one.data_row_id for one in shown} == set(rows) - hidden
    async with world.sessions() as session:
        apart = list(await session.scalars(select(WithheldDetectionRow)))
        assert {(one.model_run_id, one.data_row_id) for one in apart} == {(run_id, row) for row in hidden}
        projections = list(await session.scalars(select(RowProjectionRow)))
        assert {one.data_row_id for one in projections if not one.shown} == hidden
        assert all(one.uncertainty == 0 for one in projections if one.data_row_id in hidden)
        counted = await session.scalar(select(func.sum(LedgerCountRow.count)))
    run = await world.run(run_id)
    assert run.detections == counted == len(shown) == sum(one.detections for one in outcomes.values())
    assert (run.succeeded, run.total) == (10, 10)


async def test_the_result_of_a_withheld_row_is_not_taken_for_another_nor_the_other_way(world: World) -> None:
    # The same numbers twice: as contents they are the same, as data rows they are not.
    first = [await world.add_text(f"first-{n}", str(n)) for n in range(4)]
    second = [await world.add_text(f"second-{n}", str(n)) for n in range(4)]
    await _withhold(world, first[0], second[1])
    model_id = await world.add_model(MODEL)
    await _run(world, first, model_id)
    run_id = await _run(world, second, model_id)
    found = {one.data_row_id: one.detections for one in await world.outcomes(run_id)}
    assert [found[row] > 0 for row in second] == [True, False, True, True]
    again = await _run(world, first, model_id)
    found = {one.data_row_id: one.detections for one in await world.outcomes(again)}
    assert [found[row] > 0 for row in first] == [False, True, True, True]


async def test_only_those_of_the_workspace_are_withheld(world: World) -> None:
    rows = await add_numbers(world, 3)
    await _withhold(world, rows[1])
    async with world.sessions() as session:
        assert await find_withheld(session, world.workspace_id, rows) == {rows[1]}
        assert await find_withheld(session, world.project_id, rows) == frozenset()
        assert await find_withheld(session, world.workspace_id, []) == frozenset()
