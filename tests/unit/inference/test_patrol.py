"""When what dead workers left is looked for: not before those that live could say so."""

import asyncio
from typing import cast

import pytest

from services.inference.patrol import Patrol
from services.inference.segments import Claim, LeaseLost

LEFT = cast(Claim, object())
PAUSE, HEARTBEAT = 0.01, 3.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Patrolled:
    """`failure` is what a look ends with."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.patrol = Patrol(PAUSE, HEARTBEAT, self.clock)
        self.looks = 0
        self.failure: Exception | None = None

    async def find(self) -> Claim | None:
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        return LEFT

    async def after(self, seconds: float) -> Claim | None:
        """Another look, after a pause that took so long by the clock."""
        asyncio.get_running_loop().call_soon(self._pass, seconds)
        await self.patrol.pause()
        return await self.patrol.look(self.find)

    def _pass(self, seconds: float) -> None:
        self.clock.now += seconds


async def test_what_is_left_is_found() -> None:
    one = Patrolled()
    assert [await one.after(1.0) for _ in range(3)] == [LEFT] * 3


@pytest.mark.parametrize("failure", [OSError("away"), TimeoutError()])
async def test_after_an_outage_those_that_live_speak_first(failure: Exception) -> None:
    one = Patrolled()
    one.failure = failure
    assert await one.after(1.0) is None
    one.failure, looks = None, one.looks
    assert [await one.after(1.0) for _ in range(3)] == [None] * 3
    assert one.looks == looks, "nobody is asked meanwhile"
    assert await one.after(1.0) is LEFT


async def test_who_stood_still_lets_those_that_live_speak_first() -> None:
    one = Patrolled()
    assert await one.after(30.0) is None
    assert [await one.after(1.0) for _ in range(3)] == [None] * 3
    assert await one.after(1.0) is LEFT


async def test_whoever_was_slower_than_another_looks_again() -> None:
    one = Patrolled()
    one.failure = LeaseLost()
    assert await one.after(1.0) is None
    one.failure = None
    assert await one.after(1.0) is LEFT


async def test_who_is_told_to_stop_waits_no_longer() -> None:
    patrol = Patrol(3600, HEARTBEAT)
    waiting = asyncio.create_task(patrol.pause())
    await asyncio.sleep(0)
    patrol.stop()
    await asyncio.wait_for(waiting, 10)
