"""What the notifier reads of the event log. While PostgreSQL is away every method raises Unavailable."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import any_, bindparam, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PostgresUUID
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.availability import unavailable_when_away
from services.notifier.tickets import Identity, read_roles
from services.notifier.topics import Topic, WantedTopic
from shared.contracts.messages import Position
from shared.database.engine import Sessions
from shared.database.event_log import Head, LoggedEvent, read_head
from shared.database.tables import EventRow, StreamRow
from shared.errors import NotFound, PrelabelError, Unauthenticated
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
    async def topics(self, asked: Sequence[Asked]) -> Mapping[Asked, Topic | PrelabelError]:
        """Or why not: what is not there is nobody's, and a key may have ended since its client came."""
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

    async def topics(self, asked: Sequence[Asked]) -> Mapping[Asked, Topic | PrelabelError]:
        found: dict[Asked, Topic | PrelabelError] = {}
        async with self._reading() as session:
            roles = await read_roles(session, {identity.api_key_id for identity, _ in asked})
            for identity, wanted in asked:
                try:
                    if roles.get(identity.api_key_id) != identity.role:
                        raise Unauthenticated("the API key serves no more, or its member has another role now")
                    found[identity, wanted] = await wanted.find(session, identity)
                except (NotFound, Unauthenticated) as error:
                    found[identity, wanted] = error
        return found

    async def open(self, identity: Identity, wanted: WantedTopic, stream_id: UUID) -> Opening:
        # One moment for head and snapshot: what is in the one is not in the events after the other.
        async with self._reading("REPEATABLE READ") as session:
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
    async def _reading(self, isolation: str = "AUTOCOMMIT") -> AsyncIterator[AsyncSession]:
        """By default each statement by itself: a transaction around one would double what it costs."""
        with unavailable_when_away():
            async with self._sessions() as session:
                await session.connection(execution_options={"isolation_level": isolation})
                yield session


def continues(head: Head, after: Position, max_missed: int) -> bool:
    """Whether exactly what was missed can be sent: the same epoch, still there, and not too much."""
    return head.reaches(after.epoch, after.offset) and head.last_offset - after.offset <= max_missed
