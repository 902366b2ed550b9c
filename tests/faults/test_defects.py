"""The checker works: each deliberate defect is seen by name, and without one the same faults leave nothing to see."""

import pytest

from tests.faults.defects import DEFECTS
from tests.faults.harness.world import World
from tests.faults.scenarios import SCENARIOS, Start

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

_PLAYS = 3
"""A worker may be held still at a moment at which its defect does no harm."""


@pytest.mark.parametrize("name", SCENARIOS)
async def test_faults_leave_every_promise_whole(fault_world: World, name: str) -> None:
    async with fault_world.round(f"{name}-clean") as told:
        await SCENARIOS[name](fault_world, told, fault_world.start)
        assert await told.violations() == []


@pytest.mark.parametrize("name", DEFECTS)
async def test_a_defect_is_seen_by_name(fault_world: World, name: str) -> None:
    wanted = set(DEFECTS[name].seen_as)
    for number in range(_PLAYS):
        if wanted <= (seen := await _seen(fault_world, name, number)):
            break
    assert wanted <= seen


async def _seen(world: World, name: str, number: int) -> set[str]:
    defect = DEFECTS[name]
    async with world.round(f"{name}-defect-{number}") as told:
        try:
            await SCENARIOS[defect.scenario](world, told, _start_with(world, name))
            return {violation.name for violation in await told.violations()}
        finally:
            await world.start(defect.service)


def _start_with(world: World, name: str) -> Start:
    async def start(service: str, *, crash: str | None = None, **settings: str) -> None:
        defect = name if service == DEFECTS[name].service else None
        await world.start(service, defect=defect, crash=crash, **settings)

    return start
