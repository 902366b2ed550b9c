"""The trace of one data row, as the worker left it."""

from uuid import UUID

from sqlalchemy import text

from services.api.model_runs.schemas import OutcomeTrace
from services.api.model_runs.trace import find_trace
from services.inference.failures import ModelRejected
from shared.ids import new_id
from tests.support.workers import MODEL, FakeTriton, Numbers, submit_numbers, until_ended, working
from tests.support.world import World


async def traced(world: World, run_id: UUID, data_row_id: UUID) -> OutcomeTrace:
    run = await world.run(run_id)
    async with world.sessions() as session:
        found = await find_trace(session, run, data_row_id)
    assert found is not None
    return found


async def test_a_row_tells_its_way(world: World) -> None:
    run_id, rows = await submit_numbers(world, 20, segment_size=20)
    async with working(world, FakeTriton()) as running:
        assert await until_ended(world, run_id) == "completed"
        holder = running.worker._holder
    (segment,) = await world.segments(run_id)
    traces = [await traced(world, run_id, row) for row in rows]
    for one in traces:
        assert (one.state, one.attempts, one.execution) == ("succeeded", 1, 1)
        assert one.model is not None
        assert (one.model.slug, one.model.digest) == (MODEL.card.slug, MODEL.digest)
        assert one.segment is not None
        assert (one.segment.id, one.segment.state, one.segment.takeovers) == (segment.id, "done", 0)
        assert one.worker == holder
        assert one.created_at is not None
        assert one.stages is not None
        assert all(value is not None and value >= 0 for value in one.stages.model_dump().values()), one.stages
    batches = [one.batch for one in traces if one.batch is not None]
    assert sorted(batch.rows for batch in batches) == [4] * 4 + [16] * 16
    assert len({batch.id for batch in batches}) == 2
    assert traces[0].timings is not None
    assert set(traces[0].timings) == {"fetch_ms", "prepare_ms", "queue_ms", "infer_ms", "decode_ms", "batch_rows"}


async def test_a_failed_row_tells_why_and_by_whom(world: World) -> None:
    run_id, rows = await submit_numbers(world, 8)

    async def refuse(numbers: Numbers) -> None:
        if 3 in numbers:
            raise ModelRejected("shape mismatch")

    async with working(world, FakeTriton(refuse)) as running:
        assert await until_ended(world, run_id) == "completed_with_errors"
        holder = running.worker._holder
    failed, beside = await traced(world, run_id, rows[3]), await traced(world, run_id, rows[2])
    assert (failed.stage, failed.code, failed.detail) == ("inference", "model_rejected", "shape mismatch")
    assert (failed.attempts, failed.worker, failed.batch, failed.stages) == (4, holder, None, None)
    assert failed.timings is None
    assert beside.batch is not None
    assert beside.batch.rows == 1, "its neighbour came back alone, after the batch was split"


async def test_a_row_without_outcome_tells_where_it_is(world: World) -> None:
    run_id, rows = await submit_numbers(world, 4, segment_size=2)
    waiting = await traced(world, run_id, rows[3])
    assert (waiting.state, waiting.attempts, waiting.worker) == ("pending", 0, None)
    assert waiting.segment is not None
    assert (waiting.segment.ordinal, waiting.segment.state) == (1, "open")
    async with world.sessions.begin() as session:
        await session.execute(text("UPDATE segments SET state = 'leased', holder = 'host:1' WHERE ordinal = 1"))
    assert (await traced(world, run_id, rows[3])).worker == "host:1"
    async with world.sessions.begin() as session:
        await session.execute(text("UPDATE segments SET state = 'cancelled', holder = NULL"))
        await session.execute(text("UPDATE model_runs SET state = 'cancelled'"))
    ended = await traced(world, run_id, rows[3])
    assert (ended.state, ended.worker, ended.stages) == ("not_run", None, None)


async def test_a_row_of_no_run_has_no_trace(world: World) -> None:
    run_id, _ = await submit_numbers(world, 2)
    async with world.sessions() as session:
        assert await find_trace(session, await world.run(run_id), new_id()) is None
