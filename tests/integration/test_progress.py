"""Progress: what the tables say, once for each move, and the last value in the end."""

from typing import Any, cast
from uuid import UUID

from sqlalchemy import text

from services.inference.progress import ProgressReporter
from services.inference.segments import Claim, Claimant, claim
from shared.contracts.progress import Progress
from shared.database.engine import Sessions
from shared.database.unit_of_work import transaction, unit_of_work
from shared.hints import Hints
from shared.object_store import ObjectStore
from tests.support.workers import make_signals, submit_numbers
from tests.support.world import World, make_world


class Ear:
    """Hears progress as `shared.hints.Hints` sends it, unless it is told that it is too soon."""

    def __init__(self) -> None:
        self.heard: list[Progress] = []
        self.too_soon = False

    async def progress(self, progress: Progress) -> bool:
        if not self.too_soon:
            self.heard.append(progress)
        return not self.too_soon


async def held(world: World) -> Claim:
    signals = make_signals()
    async with unit_of_work(world.sessions, signals, "service:inference") as work:
        found = await claim(work, Claimant("run", "w", 10))
    await signals.close()
    assert found is not None
    return found


async def count(world: World, run_id: UUID, **counters: int) -> None:
    sets = ", ".join(f"{name} = :{name}" for name in counters)
    async with transaction(world.sessions) as session:
        statement = f"UPDATE segments SET {sets} WHERE model_run_id = :run AND ordinal = 0"
        await session.execute(text(statement), {"run": run_id, **counters})


async def test_every_move_is_told_and_what_was_too_soon_later(sessions: Sessions, object_store_url: str) -> None:
    world = await make_world(sessions, ObjectStore(object_store_url), "text")
    run_id, _ = await submit_numbers(world, 8, segment_size=4)
    one, ear = await held(world), Ear()
    reporter = ProgressReporter(sessions, cast(Hints, ear))
    await reporter.report([one])
    await reporter.report([one])
    assert [(told.done, told.total) for told in ear.heard] == [(0, 8)], "nothing moved"
    await count(world, run_id, succeeded=2, skipped=1)
    ear.too_soon = True
    await reporter.report([one])
    ear.too_soon = False
    await reporter.report([one])
    await count(world, run_id, succeeded=2, skipped=1, failed=1)
    await reporter.report([one])
    expected: list[Any] = [(0, 0), (3, 0), (4, 1)]
    assert [(told.done, told.failed) for told in ear.heard] == expected
    assert {told.model_run_id for told in ear.heard} == {run_id}


async def test_redis_lets_five_a_second_through(sessions: Sessions, redis_url: str, object_store_url: str) -> None:
    world = await make_world(sessions, ObjectStore(object_store_url), "text")
    hints = Hints(redis_url)
    told = Progress(
        workspace_id=world.workspace_id,
        project_id=world.project_id,
        model_run_id=world.member_id,
        done=1,
        total=2,
        failed=0,
        rows_per_second=None,
        eta_seconds=None,
    )
    assert [await hints.progress(told) for _ in range(3)] == [True, False, False]
    await hints.close()
