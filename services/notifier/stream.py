"""One followed stream: who listens, and how far all of them are. Everything here is synchronous.

A subscription first reads its own past from the log; meanwhile live events pass it by. Once it stands at or beyond
the stream's cursor it goes live, in one step without an await, so that no event falls between.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.notifier import metrics
from services.notifier.advance import Advance
from services.notifier.client import Client
from services.notifier.frames import SharedFrame, event_frame, frame_of
from services.notifier.log import Opening
from services.notifier.tickets import Identity
from services.notifier.topics import Selector, Topic, WantedTopic, selectors_of
from shared.contracts.events import ApiKeyRevoked, ApiKeySuspended
from shared.contracts.http import Problem
from shared.contracts.messages import CloseCode, ErrorMessage, PositionMessage, Subscribed
from shared.database.event_log import Head, LoggedEvent


class HistoryLost(Exception):
    """The log cannot continue where the followers of a stream stand; they have to start anew."""


@dataclass(eq=False, slots=True, kw_only=True)
class Listener:
    """Somebody who gets the events of a stream once `is_live`. The hub sets `topic`."""

    client: Client
    topic: Topic | None = None
    is_live: bool = False
    has_left: bool = False

    @property
    def is_over(self) -> bool:
        return self.has_left or self.client.is_closed

    def receive(self, event: LoggedEvent, frame: SharedFrame) -> None:
        raise NotImplementedError

    def receive_progress(self, model_run_id: UUID, frame: SharedFrame) -> None:
        raise NotImplementedError

    def lose_history(self) -> None:
        self.is_live = False


@dataclass(eq=False, slots=True, kw_only=True)
class Subscription(Listener):
    """All up to `offset` was sent or is not wanted; `told` is the last offset the client heard of.

    `history` is the stream's when the subscription was opened: offsets of another one mean nothing.
    """

    id: str
    identity: Identity
    wanted: WantedTopic
    offset: int = 0
    told: int = 0
    history: int = 0

    def open_at(self, opening: Opening) -> None:
        """Tell the client where it stands; `history` is set already."""
        self.offset = self.told = opening.offset
        self.say_opened(opening)

    def say_opened(self, opening: Opening) -> None:
        self.client.send(
            frame_of(
                Subscribed(
                    id=self.id,
                    epoch=str(opening.head.epoch),
                    offset=opening.offset,
                    recovered=opening.snapshot is None,
                    snapshot=opening.snapshot,
                )
            )
        )

    def refuse(self, problem: Problem) -> None:
        self.client.send(frame_of(ErrorMessage(id=self.id, problem=problem)))

    def move_to(self, position: int) -> None:
        """Tell the client that there was nothing for it up to here."""
        self.told = position
        self.client.send(frame_of(PositionMessage(id=self.id, offset=position)))

    def receive(self, event: LoggedEvent, frame: SharedFrame) -> None:
        if event.offset <= self.offset:
            return  # read from the past already
        self.offset = self.told = event.offset
        self.client.send(frame.for_id(self.id))

    def receive_progress(self, model_run_id: UUID, frame: SharedFrame) -> None:
        self.client.send_progress(frame.for_id(self.id), (self.id, model_run_id))


@dataclass(eq=False, slots=True, kw_only=True)
class KeyGuard(Listener):
    """Closes a client when the key its ticket was made with serves no more."""

    def receive(self, event: LoggedEvent, frame: SharedFrame) -> None:
        del frame
        if event.type in {ApiKeyRevoked.type, ApiKeySuspended.type}:
            self.client.close(CloseCode.UNAUTHORIZED, "the API key serves no more")

    def lose_history(self) -> None:
        # The revocation may be in what was lost; the next ticket will tell.
        self.client.close(CloseCode.RESTART, "history was lost; reconnect")


class Stream:
    """`cursor` is the last offset given to live listeners; None until somebody has read the head."""

    def __init__(self, stream_id: UUID) -> None:
        self.id = stream_id
        self.epoch: UUID | None = None
        self.cursor: int | None = None
        self.history = 0
        self.advance = Advance()
        self.is_hinted = False
        self._listeners: defaultdict[Selector, dict[Listener, None]] = defaultdict(dict)

    @property
    def is_followed(self) -> bool:
        return bool(self._listeners)

    def add(self, listener: Listener, selector: Selector) -> None:
        self._listeners[selector][listener] = None

    def remove(self, listener: Listener, selector: Selector) -> None:
        self._listeners[selector].pop(listener, None)
        if not self._listeners[selector]:
            del self._listeners[selector]

    def live(self, selectors: Sequence[Selector]) -> list[Listener]:
        return [
            listener for selector in selectors for listener in self._listeners.get(selector, ()) if listener.is_live
        ]

    def start_at(self, head: Head) -> None:
        """Follow from this head on, unless it is followed already. Raises HistoryLost when it is another history."""
        if self.cursor is None:
            self.epoch, self.cursor = head.epoch, head.last_offset
        elif self.epoch != head.epoch:
            raise HistoryLost

    def restart_at(self, head: Head | None) -> list[Subscription]:
        """Follow another history. The live subscriptions, which must start anew; the others notice by themselves."""
        self.epoch, self.cursor = (head.epoch, head.last_offset) if head else (None, None)
        self.history += 1
        self.advance = Advance()
        lost = self.live(list(self._listeners))
        for listener in lost:
            listener.lose_history()
        return [listener for listener in lost if isinstance(listener, Subscription)]

    def lag(self, head: Head | None, cursor_before: int) -> int:
        """How many events the log is ahead. Raises HistoryLost when it cannot continue at the cursor.

        `cursor_before` is the cursor before the head was read: it may have moved on meanwhile.
        """
        if head is None or head.epoch != self.epoch:
            raise HistoryLost
        if head.last_offset < cursor_before or head.first_offset > cursor_before + 1:
            raise HistoryLost
        return max(0, head.last_offset - (self.cursor or 0))

    def go_live(self, subscription: Subscription) -> bool:
        """Whether it is. Raises HistoryLost when it stands in another history."""
        if subscription.history != self.history:
            raise HistoryLost
        subscription.is_live = self.cursor is not None and subscription.offset >= self.cursor
        return subscription.is_live

    def deliver(self, event: LoggedEvent) -> int:
        """The event right after the cursor, encoded once for all; how many got it. Raises HistoryLost at a hole."""
        if self.cursor is None or event.offset != self.cursor + 1:
            raise HistoryLost
        self.cursor = event.offset
        self.advance.hear(event)
        frame = event_frame(event, self.epoch)
        listeners = self.live(selectors_of(event))
        for listener in listeners:
            listener.receive(event, frame)
        metrics.EVENTS_SENT.inc(len(listeners))
        return len(listeners)

    def position_of(self, subscription: Subscription) -> int:
        """How far a live subscription is, events it does not want included."""
        return max(subscription.offset, self.cursor or 0)
