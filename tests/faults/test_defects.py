"""The checker works: each deliberate defect is seen by name, and without one the same faults leave nothing to see."""

import pytest

from tests.faults.defects import DEFECTS
from tests.faults.harness.world import World
from tests.faults.scenarios import SCENARIOS, Start

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", SCENARIOS)
async def test_faults_leave_every_promise_whole(fault_world: World, name: str) -> None:
    async with fault_world.round(f"{name}-clean") as told:
        await SCENARIOS[name](fault_world, told, fault_world.start)
        assert await told.violations() == []


@pytest.mark.parametrize("name", DEFECTS)
async def test_a_defect_is_seen_by_name(fault_world: World, name: str) -> None:
    defect = DEFECTS[name]
    async with fault_world.round(f"{name}-defect") as told:
        try:
            await SCENARIOS[defect.scenario](fault_world, told, _start_with(fault_world, name))
            assert set(defect.seen_as) <= {violation.name for violation in await told.violations()}
        finally:
            await fault_world.start(defect.service)


def _start_with(world: World, name: str) -> Start:
    async def start(service: str, *, crash: str | None = None, **settings: str) -> None:
        defect = name if service == DEFECTS[name].service else None
        await world.start(service, defect=defect, crash=crash, **settings)

    return start
