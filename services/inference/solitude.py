"""Many batches together, or one row alone: for all lanes of a process, since a crash takes all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Solitude:
    def __init__(self) -> None:
        self._together = 0
        self._waiting_to_be_alone = 0
        self._is_taken = False
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Beside any number of others; whoever waits to be alone comes first."""
        await self._until(lambda: not self._is_taken and not self._waiting_to_be_alone)
        self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            self._changed.set()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """With nothing else under way in this process."""
        self._waiting_to_be_alone += 1
        try:
            await self._until(lambda: not self._is_taken and not self._together)
            self._is_taken = True
        finally:
            self._waiting_to_be_alone -= 1
            self._changed.set()
        try:
            yield
        finally:
            self._is_taken = False
            self._changed.set()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()
