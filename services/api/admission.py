"""How much is under way at once. What is beyond that is refused at once and cheaply, and told when to come again.

A place is held while the request is worked on: not while its body is still coming or its answer is being read, so that
slow clients take none. Of those with a place only so many are let in as there are connections to the database, the
others in the order they came: more at once would do less together. One that makes us wait for its body goes on without
its turn, and never waits for another, when it may hold what others need. Pure ASGI, around everything that costs.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.metrics import HttpMetrics
from services.api.ready_problem import ReadyProblem
from shared.errors import TooManyRequests, Unavailable
from shared.telemetry import logger

ALWAYS = frozenset({"/livez", "/readyz", "/metrics"})
RETRY_AFTER_SECONDS = 1
_STATE = "admission"
_PATIENCE_SECONDS = 0.05
_TELL_SECONDS = 5.0
_BUSY = ReadyProblem(
    Unavailable("as many requests as this process takes are under way", code="overloaded"), RETRY_AFTER_SECONDS
)
_GREEDY = ReadyProblem(
    TooManyRequests("this API key has as many requests under way as one may have", code="too_many_in_flight"),
    RETRY_AFTER_SECONDS,
)

log = logger(__name__)


@dataclass(slots=True)
class Places:
    """Those of one process, and how many of them each key has."""

    most: int
    most_of_a_key: int
    taken: int = 0
    of_key: Counter[bytes] = field(default_factory=Counter)

    def refusal(self, key: bytes) -> ReadyProblem | None:
        if self.taken >= self.most:
            return _BUSY
        return _GREEDY if self.of_key[key] >= self.most_of_a_key else None

    def take(self, key: bytes) -> None:
        self.taken += 1
        self.of_key[key] += 1

    def free(self, key: bytes) -> None:
        self.taken -= 1
        self.of_key[key] -= 1
        if not self.of_key[key]:
            del self.of_key[key]


@dataclass(slots=True)
class Turns:
    """They are given in the order of those who wait, at most so long."""

    at_work: int
    wait_seconds: float
    free: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self.free = asyncio.Semaphore(self.at_work)


class Admission:
    def __init__(self, app: ASGIApp, places: Places, turns: Turns, metrics: HttpMetrics) -> None:
        self._app = app
        self._places = places
        self._turns = turns
        self._metrics = metrics
        self._told_at = -_TELL_SECONDS
        self._untold = 0
        metrics.in_flight.set_function(lambda: places.taken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        key = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        refusal = self._places.refusal(key)
        if refusal is not None:
            self._note(refusal)
            await refusal.answer(send)
            return
        place = _Place(lambda: self._places.take(key), lambda: self._places.free(key), self._turns.free)
        scope.setdefault("state", {})[_STATE] = place
        place.take()
        try:
            if await place.take_turn(self._turns.wait_seconds):
                await self._app(scope, place.while_working(receive), place.while_working_to(send))
            else:
                self._note(_BUSY)
                await _BUSY.answer(send)
        finally:
            place.end_turn()
            place.free()

    def _note(self, refusal: ReadyProblem) -> None:
        # A line each would cost more than the refusal.
        self._metrics.refused.labels(refusal.code).inc()
        self._untold += 1
        if time.monotonic() - self._told_at > _TELL_SECONDS:
            log.warning("requests_refused", requests=self._untold, reason=refusal.code, in_flight=self._places.taken)
            self._told_at, self._untold = time.monotonic(), 0


@dataclass(slots=True)
class _Place:
    """Of one request. Its tasks may wait at once, so what counts is whether any does."""

    take_one: Callable[[], None]
    free_one: Callable[[], None]
    turns: asyncio.Semaphore
    is_held: bool = False
    has_turn: bool = False
    waits: int = 0
    body_is_whole: bool = False

    def take(self) -> None:
        if not self.is_held:
            self.take_one()
            self.is_held = True

    def free(self) -> None:
        if self.is_held:
            self.free_one()
            self.is_held = False

    async def take_turn(self, seconds: float) -> bool:
        """Whether it had come by then."""
        try:
            async with asyncio.timeout(seconds):
                await self.turns.acquire()
        except TimeoutError:
            return False
        self.has_turn = True
        return True

    def end_turn(self) -> None:
        if self.has_turn:
            self.turns.release()
            self.has_turn = False

    def while_working(self, receive: Receive) -> Receive:
        async def received() -> Message:
            if self.body_is_whole:  # from here on it is only asked whether the client is gone
                return await receive()
            self._wait()
            impatience = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self.end_turn)
            try:
                message = await receive()
            finally:
                impatience.cancel()
                self._go_on()
            self.body_is_whole = not message.get("more_body", False)
            return message

        return received

    def while_working_to(self, send: Send) -> Send:
        async def sent(message: Message) -> None:
            self.end_turn()
            self._wait()
            try:
                await send(message)
            finally:
                self._go_on()

        return sent

    def _wait(self) -> None:
        self.waits += 1
        self.free()

    def _go_on(self) -> None:
        self.waits -= 1
        if not self.waits:
            self.take()


def give_up_turn(request: Request) -> None:
    """For a route that waits long and holds no connection meanwhile."""
    place: _Place | None = getattr(request.state, _STATE, None)
    if place is not None:
        place.end_turn()
