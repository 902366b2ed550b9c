"""How many may be under way at once."""

import asyncio
from collections import deque


class Places:
    """First come, first served. `limit` may change while some are taken."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._wake()

    async def take(self) -> "Place":
        if not self._waiting and self._taken < self._limit:
            self._taken += 1
            return Place(self)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given in the same moment
                self.free()
            raise
        return Place(self)

    def free(self) -> None:
        self._taken -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._taken < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)


class Place:
    """Whoever has it frees it, once, or hands it over."""

    def __init__(self, places: Places) -> None:
        self._places: Places | None = places

    @property
    def is_held(self) -> bool:
        return self._places is not None

    def free(self) -> None:
        places, self._places = self._places, None
        if places is not None:
            places.free()

    def hand_over(self) -> "Place":
        places, self._places = self._places, None
        if places is None:
            raise RuntimeError("the place is not held any more")
        return Place(places)
