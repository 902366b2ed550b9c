"""What a worker counts is what it did, and what waits is what PostgreSQL says."""

import asyncio

from prometheus_client import REGISTRY
from sqlalchemy import text

from services.inference.backlog import look_at_backlog
from services.inference.failures import ModelAway, ModelRejected
from tests.support.workers import FakeTriton, Numbers, submit_numbers, until_ended, working
from tests.support.world import World


def value(name: str, **labels: str) -> float | None:
    """None when nothing of that name and these labels was ever counted or set."""
    return REGISTRY.get_sample_value(f"prelabel_inference_{name}", labels)


async def test_rows_batches_and_stages_are_counted(world: World) -> None:
    names = [
        ("rows_total", {"outcome": "succeeded"}),
        ("rows_total", {"outcome": "failed"}),
        ("failed_rows_total", {"stage": "inference", "code": "model_rejected"}),
        ("batch_rows_sum", {}),
        ("retries_total", {}),
        *(("stage_seconds_count", {"stage": stage}) for stage in ("prepare", "infer", "decode", "store")),
    ]
    before = [value(name, **labels) or 0 for name, labels in names]
    run_id, _ = await submit_numbers(world, 16)
    calls = 0

    async def refuse_one(numbers: Numbers) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ModelAway("no available versions")
        if 5 in numbers:
            raise ModelRejected("shape mismatch")

    async with working(world, FakeTriton(refuse_one)):
        assert await until_ended(world, run_id) == "completed_with_errors"
    succeeded, failed, rejected, rows, retries, *stages = [
        (value(name, **labels) or 0) - old for (name, labels), old in zip(names, before, strict=True)
    ]
    assert (succeeded, failed, rejected, retries) == (15, 1, 1, 1)
    assert rows == 16 + 16 + 16 + 8 + 4 + 2, "each half of what was refused, and the first call twice"
    assert all(count >= 1 for count in stages)
    assert value("in_stage", stage="infer") == 0


async def test_what_waits_is_told(world: World) -> None:
    run_id, _ = await submit_numbers(world, 40, segment_size=16)
    await _look(world)
    assert (value("runs", purpose="run", state="queued"), value("open_segments", purpose="run")) == (1, 3)
    assert value("rows_to_do", purpose="run") == 40
    assert (value("runs", purpose="preview", state="queued"), value("rows_to_do", purpose="preview")) == (0, 0)
    async with world.sessions.begin() as session:
        old = text("UPDATE model_runs SET created_at = now() - interval '1 hour' WHERE id = :run")
        await session.execute(old, {"run": run_id})
    await _look(world)
    age = value("queue_age_seconds", purpose="run")
    assert age is not None
    assert 3600 <= age < 3900
    async with world.sessions.begin() as session:
        stalled = text("UPDATE model_runs SET state = 'stalled', waiting_for = 'model' WHERE id = :run")
        await session.execute(stalled, {"run": run_id})
    await _look(world)
    assert value("runs", purpose="run", state="stalled") == 1
    assert value("queue_age_seconds", purpose="run") == 0, "it waits for something else than a worker"


async def test_nothing_waits_when_all_is_done(world: World) -> None:
    run_id, _ = await submit_numbers(world, 4)
    async with working(world, FakeTriton()):
        await until_ended(world, run_id)
    await _look(world)
    for purpose in ("run", "preview"):
        for name in ("open_segments", "rows_to_do", "queue_age_seconds"):
            assert value(name, purpose=purpose) == 0
    assert value("segments_held") == 0


async def _look(world: World) -> None:
    async with asyncio.timeout(20), world.sessions() as session:
        await look_at_backlog(session)
