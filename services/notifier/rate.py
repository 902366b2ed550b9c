"""How many frames a client may send."""

from collections.abc import Callable

# At once: as many as one needs that comes back with all the subscriptions it may have.
_BURST_SECONDS = 6


class Rate:
    """A token bucket: so many a second on average, what six seconds allow at once."""

    __slots__ = ("_at", "_clock", "_left", "_most", "_per_second")

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._most = max(1.0, per_second * _BURST_SECONDS)
        self._left = self._most
        self._at = clock()

    def allows(self) -> bool:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
