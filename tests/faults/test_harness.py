"""The harness itself: a round without any fault has no violation, and one with the plainest faults has none either."""

import pytest

from tests.faults.harness.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

_ROWS = 200


async def test_an_undisturbed_round_is_clean(world: World) -> None:
    async with world.round("undisturbed") as told:
        stage = await told.stage((f"text {number}" for number in range(_ROWS)), "sleeps")
        await told.subscribe("a", stage.topic)
        run = await stage.submit()
        ended = await stage.ended(run)
        assert (ended["state"], ended["succeeded"]) == ("completed", _ROWS)
        assert await told.violations() == []
