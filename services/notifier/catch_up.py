"""Brings one subscription from where its client stands to live. The only place that waits for a client: its own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from services.notifier import metrics
from services.notifier.frames import SharedFrame
from services.notifier.hub import Hub
from services.notifier.log import EventLog, Opening, continues
from services.notifier.pages import Pages
from services.notifier.stream import HistoryLost, KeyGuard, Stream, Subscription
from services.notifier.tickets import Identity
from services.notifier.together import Together
from services.notifier.topics import Topic, WantedTopic, selectors_of
from shared.contracts.http import Problem, problem_of
from shared.contracts.messages import CloseCode, Position
from shared.database.event_log import Head, LoggedEvent
from shared.ending import end_tasks
from shared.errors import NotFound, PrelabelError, Unavailable
from shared.telemetry import logger

log = logger(__name__)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Pace:
    """`readers` is how many catch-ups ask PostgreSQL at once, so that the tail always finds a connection."""

    page_size: int = 200
    readers: int = 4
    max_missed: int = 10_000
    slow_client_seconds: float = 20
    retry_seconds: float = 0.25
    max_retry_seconds: float = 2


class CatchUp:
    def __init__(self, event_log: EventLog, hub: Hub, pace: Pace, wake: Callable[[Stream], None]) -> None:
        self._log = event_log
        self._hub = hub
        self._pace = pace
        self._wake = wake
        self._turns = asyncio.Semaphore(pace.readers)
        self._pages = Pages(event_log, pace.page_size, self._turns)
        self._topics = Together(event_log.topics)
        self._heads = Together(event_log.heads)
        # Not cancelled when a client goes: that would break a connection to PostgreSQL in mid-answer.
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, subscription: Subscription, after: Position | None) -> None:
        task = asyncio.create_task(self._run(subscription, after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def check(self, identity: Identity, wanted: WantedTopic) -> None:
        """Raises NotFound or Unauthenticated for what may not be followed, and Unavailable."""
        await self._topic(identity, wanted)

    async def follow_key(self, guard: KeyGuard, identity: Identity) -> None:
        """From here on the guard hears of its key. Raises Unavailable, and NotFound for a workspace that has gone."""
        topic = Topic(identity.workspace_id, identity.api_key_id)
        stream = self._hub.join(guard, topic)
        if stream.cursor is None:
            head = await self._heads.get(stream.id)
            if head is None:
                raise NotFound()
            self._start(stream, head)
        guard.is_live = True

    def restart(self, stream: Stream, head: Head | None) -> None:
        """Its history was lost: all who follow it get a snapshot. `head` is None when the stream itself has gone."""
        log.warning("history_lost", stream_id=str(stream.id))
        metrics.HISTORY_LOST.inc()
        for subscription in stream.restart_at(head):
            self.start(subscription, None)

    async def stop(self) -> None:
        await end_tasks(self._tasks)
        await self._pages.stop()

    async def _run(self, subscription: Subscription, after: Position | None) -> None:
        try:
            await self._follow(subscription, after)
        except _Left:
            self._hub.leave(subscription)
        except TimeoutError:
            metrics.SLOW_CLIENTS_CLOSED.inc()
            subscription.client.close(CloseCode.TOO_MANY, "too slow; reconnect and resume from your offset")
        except PrelabelError as error:
            self._refuse(subscription, error)
        except Exception:  # a bug must cost one subscription, not the connection
            log.exception("catch_up_failed")
            self._refuse(subscription, PrelabelError())

    async def _follow(self, subscription: Subscription, after: Position | None) -> None:
        while True:
            stream = await self._open(subscription, after)
            try:
                await self._replay(subscription, stream)
                return
            except HistoryLost:
                after = None

    async def _open(self, subscription: Subscription, after: Position | None) -> Stream:
        identity, wanted = subscription.identity, subscription.wanted
        topic = await self._ask(subscription, partial(self._topic, identity, wanted))
        # Join before reading the past: an event between the two is then seen twice, never missed.
        stream = self._hub.join(subscription, topic)
        opening = await self._ask(subscription, partial(self._opening, subscription, stream, after))
        self._start(stream, opening.head)
        stream.advance.see(opening.snapshot)
        subscription.history = stream.history
        subscription.open_at(opening)
        return stream

    async def _topic(self, identity: Identity, wanted: WantedTopic) -> Topic:
        found = await self._topics.get((identity, wanted))
        if not isinstance(found, Topic):
            raise found or NotFound()
        return found

    async def _opening(self, subscription: Subscription, stream: Stream, after: Position | None) -> Opening:
        if after is not None:
            head = await self._heads.get(stream.id)
            if head is not None and continues(head, after, self._pace.max_missed):
                return Opening(head, after.offset)
        async with self._turns:
            return await self._log.open(subscription.identity, subscription.wanted, stream.id)

    def _start(self, stream: Stream, head: Head) -> None:
        try:
            stream.start_at(head)
        except HistoryLost:
            self.restart(stream, head)
        if stream.is_hinted:
            # The hint for what came right after this head was too early to be followed.
            stream.is_hinted = False
            self._wake(stream)

    async def _replay(self, subscription: Subscription, stream: Stream) -> None:
        while not stream.go_live(subscription):
            page = await self._ask(subscription, partial(self._pages.after, stream.id, subscription.offset))
            if not page.events or page.epoch != stream.epoch or subscription.history != stream.history:
                raise HistoryLost
            for event, frame in page.events:
                await self._until_read(subscription)
                stream.advance.hear(event)
                _give(subscription, event, frame)

    async def _until_read(self, subscription: Subscription) -> None:
        """Raises TimeoutError when the client takes too long."""
        client = subscription.client
        if client.is_behind:
            async with asyncio.timeout(self._pace.slow_client_seconds):
                await client.drained()
        if subscription.is_over:
            raise _Left

    async def _ask(self, subscription: Subscription, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask the log, again and again while it is away and the client stays."""
        delay = self._pace.retry_seconds
        while not subscription.is_over:
            with suppress(Unavailable):
                answer = await ask()
                if subscription.is_over:
                    break
                return answer
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._pace.max_retry_seconds)
        raise _Left

    def _refuse(self, subscription: Subscription, error: PrelabelError) -> None:
        self._hub.leave(subscription)
        client = subscription.client
        if client.subscriptions.get(subscription.id) is subscription:
            del client.subscriptions[subscription.id]
            metrics.SUBSCRIPTIONS.dec()
            subscription.refuse(Problem.model_validate(problem_of(error)))


class _Left(Exception):
    """The client or the subscription has gone meanwhile."""


def _give(subscription: Subscription, event: LoggedEvent, frame: SharedFrame) -> None:
    if event.offset != subscription.offset + 1:
        raise HistoryLost
    if subscription.topic is not None and subscription.topic.selector in selectors_of(event):
        subscription.receive(event, frame)
        metrics.EVENTS_SENT.inc()
    else:
        subscription.offset = event.offset
