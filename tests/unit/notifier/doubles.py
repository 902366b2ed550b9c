"""A wire that keeps what was written, and a log whose every answer can be overtaken by what happens meanwhile."""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

from services.notifier.client import Client
from services.notifier.log import Asked, Opening, PastEvents
from services.notifier.tickets import Identity
from services.notifier.topics import Topic, WantedTopic
from shared.contracts.resources import Notifications
from shared.database.event_log import Head, LoggedEvent
from shared.errors import Unavailable

IDENTITY = Identity(uuid4(), uuid4(), uuid4(), "viewer")
MAX_MISSED = 30


class FakeWire:
    def __init__(self) -> None:
        self.on_writable: Callable[[], None] = lambda: None
        self.is_writable = True
        self.written: list[bytes] = []
        self.closed: tuple[int, str] | None = None

    def write(self, frame: bytes) -> None:
        self.written.append(frame)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def open(self) -> None:
        self.is_writable = True
        self.on_writable()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [decoded(frame) for frame in self.written]


def decoded(frame: bytes) -> dict[str, Any]:
    """The JSON of one unmasked text frame."""
    assert frame[0] == 0x81
    start = {126: 4, 127: 10}.get(frame[1], 2)
    message: dict[str, Any] = json.loads(frame[start:])
    return message


def new_client(queue_bytes: int = 1_000_000) -> tuple[Client, FakeWire]:
    wire = FakeWire()
    return Client(wire, queue_bytes), wire


def logged(offset: int, type_: str = "project.updated", subject_id: UUID | None = None) -> LoggedEvent:
    payload = json.dumps({"type": type_, "offset": offset})
    return LoggedEvent(offset, uuid4(), type_, "project", subject_id or uuid4(), payload)


@dataclass(frozen=True)
class FakeTopic:
    """Stands for itself: the fake log asks it no questions."""

    topic: Topic


@dataclass
class RacingLog:
    """One stream. Each answer is of the moment it was read, but arrives when `delays` lets it."""

    stream_id: UUID
    delays: Iterator[int]
    epoch: UUID = field(default_factory=uuid4)
    first_offset: int = 1
    events_by_offset: dict[int, LoggedEvent] = field(default_factory=dict)
    last_offset: int = 0
    is_away: bool = False
    has_lost_history: bool = False
    written: dict[tuple[str, int], LoggedEvent] = field(default_factory=dict)

    def append(self, subject_id: UUID, type_: str = "project.updated") -> None:
        self.last_offset += 1
        event = LoggedEvent(
            self.last_offset,
            uuid4(),
            type_,
            "project",
            subject_id,
            json.dumps({"epoch": str(self.epoch), "offset": self.last_offset, "nonce": str(uuid4())}),
        )
        self.events_by_offset[self.last_offset] = event
        self.written[(str(self.epoch), self.last_offset)] = event

    def trim(self, first_offset: int) -> None:
        self.has_lost_history = True
        self.first_offset = max(self.first_offset, min(first_offset, self.last_offset + 1))
        self.events_by_offset = {o: e for o, e in self.events_by_offset.items() if o >= self.first_offset}

    def lose_history(self, last_offset: int) -> None:
        """As a restore from an older backup."""
        self.has_lost_history = True
        self.epoch = uuid4()
        self.last_offset = max(self.first_offset - 1, min(last_offset, self.last_offset))
        self.events_by_offset = {o: e for o, e in self.events_by_offset.items() if o <= self.last_offset}
        for offset, event in self.events_by_offset.items():
            self.written[(str(self.epoch), offset)] = event

    @property
    def head(self) -> Head:
        return Head(self.epoch, self.first_offset, self.last_offset)

    async def topics(self, asked: Sequence[Asked]) -> dict[Asked, Topic]:
        await self._arrive()
        return {one: cast(FakeTopic, one[1]).topic for one in asked}

    async def open(self, identity: Identity, wanted: WantedTopic, stream_id: UUID) -> Opening:
        del identity, wanted, stream_id
        await self._arrive()
        head = self.head
        await self._arrive()
        return Opening(head, head.last_offset, Notifications(items=(), next_page_token=None, unread=0))

    async def heads(self, stream_ids: Sequence[UUID]) -> dict[UUID, Head]:
        del stream_ids
        await self._arrive()
        head = self.head
        await self._arrive()
        return {self.stream_id: head}

    async def events(self, stream_id: UUID, after: int, limit: int) -> PastEvents:
        del stream_id
        await self._arrive()
        page = [self.events_by_offset[offset] for offset in sorted(self.events_by_offset) if offset > after][:limit]
        read = PastEvents(self.epoch if page else None, page)
        await self._arrive()
        return read

    async def _arrive(self) -> None:
        for _ in range(next(self.delays)):
            await asyncio.sleep(0)
        if self.is_away:
            raise Unavailable("away")
