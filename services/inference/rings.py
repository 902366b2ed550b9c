"""Rings of the doorbell, for lanes that wait for work: as many are woken as there is work, and no ring is lost."""

import asyncio
from collections import deque


class Rings:
    def __init__(self) -> None:
        self.heard = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def ring(self, times: int | None = None) -> None:
        """For that many lanes, or for all. One that looks for work at this moment looks once more."""
        self.heard += 1
        for _ in range(len(self._waiting) if times is None else min(times, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    async def wait(self, heard: int, seconds: float) -> None:
        """For a ring after that many, which the last look has taken into account, or until the time is over."""
        if self.heard != heard:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait({turn}, timeout=seconds)
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)
