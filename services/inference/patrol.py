"""When a worker looks for what dead workers have left.

Not just after an outage, or when the process itself stood still: then nobody could say that it lives, every lease has
run out, and those that live must first have said so.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.inference.segments import Claim, LeaseLost
from shared.database.engine import DATABASE_ERRORS


class Patrol:
    def __init__(
        self, pause_seconds: float, heartbeat_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause_seconds
        self._heartbeat = heartbeat_seconds
        self._clock = clock
        self._wait_until = 0.0
        self._told = asyncio.Event()

    def stop(self) -> None:
        self._told.set()

    async def pause(self) -> None:
        """Until it is time to look, or to stop."""
        began = self._clock()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause):
                await self._told.wait()
        if self._clock() - began > self._pause + self._heartbeat:  # the process stood still
            self._lose_sight()

    async def look(self, find: Callable[[], Awaitable[Claim | None]]) -> Claim | None:
        """None as well when now is not the time, or nothing can be seen."""
        if self._clock() < self._wait_until:
            return None
        try:
            return await find()
        except LeaseLost:
            return None
        except DATABASE_ERRORS:
            self._lose_sight()
            return None

    def _lose_sight(self) -> None:
        self._wait_until = self._clock() + self._heartbeat + self._pause
