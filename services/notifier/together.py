"""Many who ask at once are answered by one question: a thousand clients come back when a notifier has restarted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Together(Generic[Key, Value]):
    """`ask` answers for many keys. Whoever comes while it is under way waits for the next: no answer is older than its
    question."""

    def __init__(self, ask: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._ask = ask
        self._waiting: dict[Key, asyncio.Future[Value | None]] = {}
        self._under_way: dict[Key, asyncio.Future[Value | None]] = {}
        self._task: asyncio.Task[None] | None = None

    def is_asked(self, key: Key) -> bool:
        return key in self._waiting or key in self._under_way

    async def get(self, key: Key) -> Value | None:
        """Raises what `ask` raises."""
        future = self._waiting.get(key)
        if future is None:
            future = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await asyncio.shield(future)  # one who leaves takes the answer from nobody

    async def _work(self) -> None:
        try:
            while self._waiting:
                self._under_way, self._waiting = self._waiting, {}
                await self._answer(self._under_way)
        finally:
            self._under_way, self._task = {}, None

    async def _answer(self, asked: Mapping[Key, asyncio.Future[Value | None]]) -> None:
        try:
            found = await self._ask(list(asked))
        except Exception as error:  # it is for those who asked, whatever it is
            for future in asked.values():
                future.set_exception(error)
                future.exception()  # seen, even if all of them have left
        else:
            for key, future in asked.items():
                future.set_result(found.get(key))
