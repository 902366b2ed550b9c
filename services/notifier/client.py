"""One client's outgoing side: a bounded queue in front of its wire. Nothing here waits, but `drained`."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING
from uuid import UUID

from services.notifier import metrics
from services.notifier.frames import PING
from services.notifier.tickets import Identity
from services.notifier.wire import Wire
from shared.contracts.messages import CloseCode

if TYPE_CHECKING:
    from services.notifier.stream import Subscription


@dataclass(slots=True)
class _Waiting:
    frame: bytes
    progress_of: tuple[str, UUID] | None = None


@dataclass(eq=False, slots=True)
class Client:
    """`heard_at` and `pinged_at` are times of the event loop; `ping` is how it is told that the server lives. It is
    pinged once `pinged_at` is set.

    Without an `identity` it has not yet said who it is.
    """

    wire: Wire
    queue_bytes: int
    heard_at: float = 0
    pinged_at: float = inf
    is_closed: bool = False
    ping: bytes = PING
    identity: Identity | None = None
    subscriptions: "dict[str, Subscription]" = field(default_factory=dict)
    _queue: deque[_Waiting] = field(default_factory=deque)
    _waiting_bytes: int = 0
    _progress: dict[tuple[str, UUID], _Waiting] = field(default_factory=dict)
    _emptied: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.wire.on_writable = self._flush

    @property
    def is_behind(self) -> bool:
        return bool(self._queue)

    def send(self, frame: bytes) -> None:
        """Something that must arrive. A client for which too much waits is closed; it resumes from its offset."""
        if self.is_closed:
            return
        if self.wire.is_writable and not self._queue:
            self.wire.write(frame)
            return
        self._enqueue(_Waiting(frame))
        if self._is_over_bound():
            self._drop_progress()
        if self._is_over_bound():
            metrics.SLOW_CLIENTS_CLOSED.inc()
            self.close(CloseCode.TOO_MANY, "too slow; reconnect and resume from your offset")

    def send_progress(self, frame: bytes, progress_of: tuple[str, UUID]) -> None:
        """Last value wins: one that still waits is replaced; without room it is dropped."""
        if self.is_closed:
            return
        if self.wire.is_writable and not self._queue:
            self.wire.write(frame)
            metrics.PROGRESS_SENT.inc()
            return
        older = self._progress.get(progress_of)
        if older is None and self._waiting_bytes + len(frame) <= self.queue_bytes:
            self._enqueue(_Waiting(frame, progress_of))
            return
        metrics.PROGRESS_DROPPED.inc()
        if older is not None:
            self._waiting_bytes += len(frame) - len(older.frame)
            older.frame = frame

    def close(self, code: CloseCode, reason: str) -> None:
        if not self.is_closed:
            metrics.CLOSED.labels(code.value).inc()
            self.ended()
            self.wire.close(code, reason)

    def ended(self) -> None:
        """The connection is over, whoever ended it."""
        self.is_closed = True
        self._queue.clear()
        self._progress.clear()
        self._waiting_bytes = 0
        self._tell_emptied()

    async def drained(self) -> None:
        """Wait until all that was sent is on the wire. Only for a client's own replay, never in a broadcast."""
        if self._queue:
            self._emptied = self._emptied or asyncio.Event()
            await self._emptied.wait()

    def _enqueue(self, waiting: _Waiting) -> None:
        self._queue.append(waiting)
        self._waiting_bytes += len(waiting.frame)
        if waiting.progress_of is not None:
            self._progress[waiting.progress_of] = waiting

    def _flush(self) -> None:
        while self._queue and self.wire.is_writable:
            waiting = self._queue.popleft()
            self._waiting_bytes -= len(waiting.frame)
            if waiting.progress_of is not None:
                del self._progress[waiting.progress_of]
                metrics.PROGRESS_SENT.inc()
            self.wire.write(waiting.frame)
        if not self._queue:
            self._tell_emptied()

    def _is_over_bound(self) -> bool:
        # A single message is let through, however long: nothing else would ever make room for it.
        return self._waiting_bytes > self.queue_bytes and len(self._queue) > 1

    def _drop_progress(self) -> None:
        metrics.PROGRESS_DROPPED.inc(len(self._progress))
        self._queue = deque(waiting for waiting in self._queue if waiting.progress_of is None)
        self._waiting_bytes = sum(len(waiting.frame) for waiting in self._queue)
        self._progress.clear()

    def _tell_emptied(self) -> None:
        if self._emptied is not None:
            self._emptied.set()
            self._emptied = None
