"""What an autoscaler asks PostgreSQL, against the real schema."""

from sqlalchemy import text

from services.inference.scaling import backlog, backlog_query
from shared.database.engine import Sessions
from tests.support.workers import MODEL, add_numbers
from tests.support.world import World


async def _set(sessions: Sessions, statement: str) -> None:
    async with sessions.begin() as session:
        await session.execute(text(statement))


async def test_segments_that_could_be_worked_on_are_counted(world: World, sessions: Sessions) -> None:
    assert (await backlog(sessions, "run"), await backlog(sessions, "preview")) == (0, 0)
    rows, model = await add_numbers(world, 96), await world.add_model(MODEL)
    run = await world.start_run(MODEL, model, rows, segment_size=32)
    preview = await world.start_run(MODEL, model, rows[:32], segment_size=16)
    await _set(sessions, f"UPDATE model_runs SET purpose = 'preview' WHERE id = '{preview}'")
    assert (await backlog(sessions, "run"), await backlog(sessions, "preview")) == (3, 2)
    # One that is held needs its worker; one that has ended needs none.
    await _set(sessions, f"UPDATE segments SET state = 'leased' WHERE model_run_id = '{run}' AND ordinal = 0")
    await _set(sessions, f"UPDATE segments SET state = 'done' WHERE model_run_id = '{run}' AND ordinal = 1")
    assert await backlog(sessions, "run") == 2


async def test_what_no_worker_could_take_is_not(world: World, sessions: Sessions) -> None:
    rows, model = await add_numbers(world, 32), await world.add_model(MODEL)
    await world.start_run(MODEL, model, rows, segment_size=16)
    for state in ("paused", "cancelled", "completed", "failed"):
        await _set(sessions, f"UPDATE model_runs SET state = '{state}'")
        assert await backlog(sessions, "run") == 0
    await _set(sessions, "UPDATE model_runs SET state = 'stalled', waiting_for = 'object_store'")
    assert await backlog(sessions, "run") == 0
    await _set(sessions, "UPDATE model_runs SET state = 'running', waiting_for = NULL")
    assert await backlog(sessions, "run") == 2
    await _set(sessions, "UPDATE catalog_models SET state = 'loading'")
    assert await backlog(sessions, "run") == 0


def test_it_is_one_statement_with_nothing_to_fill_in() -> None:
    assert not {":", "{", ";", "%"} & set(backlog_query("run"))
