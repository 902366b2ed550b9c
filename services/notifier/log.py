"""What the notifier reads of the event log. While PostgreSQL is away every method raises Unavailable."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PostgresUUID
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.availability import unavailable_when_away
from services.notifier.tickets import Identity
from services.notifier.topics import Topic, WantedTopic
from shared.contracts.messages import Position
from shared.database.engine import Sessions
from shared.database.event_log import Head, LoggedEvent, read_head
from shared.database.tables import EventRow, StreamRow
from shared.errors import NotFound
from shared.page_tokens import Pager

Asked: TypeAlias = tuple[Identity, WantedTopic]


@dataclass(frozen=True, slots=True)
class Opening:
    """Where a subscription begins: at `offset`, with a snapshot of that very moment or with what was missed."""

    head: Head
    offset: int
    snapshot: BaseModel | None = None


@dataclass(frozen=True, slots=True)
class PastEvents:
    """Events in order, and the epoch they belong to: history may have been replaced since the head was read.

    `epoch` is None when there are none.
    """

    epoch: UUID | None
    events: Sequence[LoggedEvent]


class EventLog(Protocol):
    async def topics(self, asked: Sequence[Asked]) -> Mapping[Asked, Topic]:
        """Without what is not there or another workspace's."""
        ...

    async def open(self, identity: Identity, wanted: WantedTopic, stream_id: UUID) -> Opening:
        """At the head, with a snapshot. Raises NotFound when it has gone."""
        ...

    async def heads(self, stream_ids: Sequence[UUID]) -> dict[UUID, Head]: ...

    async def events(self, stream_id: UUID, after: int, limit: int) -> PastEvents: ...


class PostgresLog:
    def __init__(self, sessions: Sessions, pager: Pager) -> None:
        self._sessions = sessions
        self._pager = pager

    async def topics(self, asked: Sequence[Asked]) -> Mapping[Asked, Topic]:
        found = {}
        async with self._reading() as session:
            for one in asked:
                identity, wanted = one
                with suppress(NotFound):
                    found[one] = await wanted.find(session, identity)
        return found

    async def open(self, identity: Identity, wanted: WantedTopic, stream_id: UUID) -> Opening:
        async with self._reading() as session:
            # One moment for head and snapshot: what is in the one is not in the events after the other.
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            head = await read_head(session, stream_id)
            if head is None:
                raise NotFound()
            return Opening(head, head.last_offset, await wanted.snapshot(session, identity, self._pager))

    async def heads(self, stream_ids: Sequence[UUID]) -> dict[UUID, Head]:
        wanted = any_(bindparam("ids", list(stream_ids), ARRAY(PostgresUUID(as_uuid=True))))
        async with self._reading() as session:
            found = await session.execute(
                select(StreamRow.id, StreamRow.epoch, StreamRow.first_offset, StreamRow.last_offset).where(
                    StreamRow.id == wanted
                )
            )
            return {stream_id: Head(epoch, first, last) for stream_id, epoch, first, last in found}

    async def events(self, stream_id: UUID, after: int, limit: int) -> PastEvents:
        async with self._reading() as session:
            found = await session.execute(
                select(
                    StreamRow.epoch,
                    EventRow.offset,
                    EventRow.event_id,
                    EventRow.type,
                    EventRow.subject_kind,
                    EventRow.subject_id,
                    EventRow.payload,
                )
                .join(StreamRow, StreamRow.id == EventRow.stream_id)
                .where(EventRow.stream_id == stream_id, EventRow.offset > after)
                .order_by(EventRow.offset)
                .limit(limit)
            )
            rows = found.all()
        return PastEvents(rows[0].epoch if rows else None, [LoggedEvent(*row[1:]) for row in rows])

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncSession]:
        with unavailable_when_away():
            async with self._sessions() as session:
                yield session


def continues(head: Head, after: Position, max_missed: int) -> bool:
    """Whether exactly what was missed can be sent: the same epoch, still there, and not too much."""
    return head.reaches(after.epoch, after.offset) and head.last_offset - after.offset <= max_missed
