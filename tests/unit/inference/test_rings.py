"""Who is woken by a ring: as many lanes as there is work, and nobody sleeps through one."""

import asyncio

from services.inference.rings import Rings

LONG = 60.0


class Lane:
    """Waits for a ring after those it knows."""

    def __init__(self, rings: Rings, heard: int = 0) -> None:
        self.task = asyncio.create_task(rings.wait(heard, LONG))

    @property
    def is_woken(self) -> bool:
        return self.task.done()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_lanes_wake_as_there_is_work() -> None:
    rings = Rings()
    lanes = [Lane(rings) for _ in range(4)]
    await turns()
    rings.ring(1)
    await turns()
    assert [lane.is_woken for lane in lanes] == [True, False, False, False]
    rings.ring(2)
    await turns()
    assert [lane.is_woken for lane in lanes] == [True, True, True, False]
    rings.ring(8)
    await turns()
    assert all(lane.is_woken for lane in lanes)


async def test_a_ring_for_nobody_in_particular_wakes_all() -> None:
    rings = Rings()
    lanes = [Lane(rings) for _ in range(3)]
    await turns()
    rings.ring()
    await turns()
    assert all(lane.is_woken for lane in lanes)


async def test_a_ring_during_a_look_means_another_look() -> None:
    rings = Rings()
    heard = rings.heard
    rings.ring(1)  # while the lane looks
    lane = Lane(rings, heard)
    await turns()
    assert lane.is_woken


async def test_a_lane_that_went_takes_no_ring_with_it() -> None:
    rings = Rings()
    gone, late, lane = Lane(rings), asyncio.create_task(rings.wait(0, 0.001)), Lane(rings)
    await turns()
    gone.task.cancel()
    await asyncio.wait({gone.task, late})
    rings.ring(1)
    await turns()
    assert lane.is_woken
