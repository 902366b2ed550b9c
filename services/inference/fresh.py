"""A question that many ask at once and that must be asked anew for each: whoever asks meanwhile shares the next one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Fresh(Generic[Result]):
    def __init__(self, ask: Callable[[], Awaitable[Result]]) -> None:
        self._ask = ask
        self._current: asyncio.Task[Result] | None = None
        self._next: asyncio.Task[Result] | None = None

    async def get(self) -> Result:
        """The answer to a question that was put after this call. Raises what the question raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._current))
            self._next.add_done_callback(_heard)
        return await asyncio.shield(self._next)  # it is not of this caller alone

    async def _after(self, current: "asyncio.Task[Result] | None") -> Result:
        if current is not None:
            await asyncio.wait({current})
        self._current, self._next = self._next, None
        return await self._ask()


def _heard(task: "asyncio.Task[Result]") -> None:
    """All who asked may have gone."""
    if not task.cancelled():
        task.exception()
