"""The event log: gapless, ordered offsets per stream.

A PostgreSQL sequence is no cursor, since a later number can commit first and the earlier one is then skipped.
Offsets come from a counter on the stream's row instead; its lock lasts until commit, so it is taken last.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.envelope import Envelope, Subject
from shared.contracts.event import Event
from shared.database.tables import EventRow, StreamRow
from shared.ids import new_id


@dataclass(frozen=True, slots=True)
class Head:
    """Where a stream begins and ends. Empty when `first_offset` is `last_offset + 1`."""

    epoch: UUID
    first_offset: int
    last_offset: int

    def reaches(self, epoch: UUID | str | None, after: int) -> bool:
        """Whether every event after `after` is still there. Without an epoch it is taken to be this one."""
        return (epoch is None or str(epoch) == str(self.epoch)) and self.first_offset - 1 <= after <= self.last_offset


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    offset: int
    event_id: UUID
    type: str
    subject_kind: str
    subject_id: UUID
    payload: str


_APPEND = text("""
    WITH head AS (
        UPDATE streams SET last_offset = last_offset + CAST(:count AS int) WHERE id = :stream RETURNING last_offset
    )
    INSERT INTO events
        (stream_id, "offset", workspace_id, event_id, type, subject_kind, subject_id, payload, occurred_at)
    SELECT :stream, head.last_offset - CAST(:count AS int) + e.place,
           e.workspace_id, e.id, e.type, e.kind, e.subject_id, e.payload, e.occurred_at
    FROM head, unnest(CAST(:workspaces AS uuid[]), CAST(:ids AS uuid[]), CAST(:types AS text[]), CAST(:kinds AS text[]),
                      CAST(:subjects AS uuid[]), CAST(:payloads AS text[]), CAST(:times AS timestamptz[]))
         WITH ORDINALITY AS e(workspace_id, id, type, kind, subject_id, payload, occurred_at, place)
    RETURNING "offset"
""")


def create_stream(session: AsyncSession, stream_id: UUID, workspace_id: UUID, kind: str) -> None:
    """`stream_id` is the id of the project or workspace itself."""
    session.add(StreamRow(id=stream_id, workspace_id=workspace_id, kind=kind))


def envelope(event: Event, actor: str) -> Envelope:
    return Envelope(
        id=new_id(),
        type=event.type,
        version=event.version,
        subject=Subject(kind=event.subject_kind, id=event.subject_id()),
        actor=actor,
        occurred_at=datetime.now(UTC),
        data=event.model_dump(mode="json"),
    )


async def append_events(session: AsyncSession, events: Sequence[Event], actor: str) -> list[UUID]:
    """Write them at the end of their streams and say which streams grew. Call it last in the transaction."""
    by_stream: defaultdict[tuple[bool, UUID], list[tuple[Event, Envelope]]] = defaultdict(list)
    for event in events:
        sealed, project_id = (event, envelope(event, actor)), event.of_project()
        if project_id is not None:
            by_stream[(False, project_id)].append(sealed)
        if event.notifies or project_id is None:
            by_stream[(True, event.workspace_id)].append(sealed)
    for key in sorted(by_stream):  # projects before workspaces: the lock order everywhere
        await _append(session, key[1], by_stream[key])
    return [stream_id for _, stream_id in by_stream]


async def read_head(session: AsyncSession, stream_id: UUID) -> Head | None:
    found = (
        await session.execute(
            select(StreamRow.epoch, StreamRow.first_offset, StreamRow.last_offset).where(StreamRow.id == stream_id)
        )
    ).one_or_none()
    return Head(*found) if found else None


async def read_events(session: AsyncSession, stream_id: UUID, after: int, limit: int) -> list[LoggedEvent]:
    """Events with an offset above `after`, in order."""
    found = await session.execute(
        select(
            EventRow.offset,
            EventRow.event_id,
            EventRow.type,
            EventRow.subject_kind,
            EventRow.subject_id,
            EventRow.payload,
        )
        .where(EventRow.stream_id == stream_id, EventRow.offset > after)
        .order_by(EventRow.offset)
        .limit(limit)
    )
    return [LoggedEvent(*row) for row in found]


async def _append(session: AsyncSession, stream_id: UUID, events: Sequence[tuple[Event, Envelope]]) -> None:
    subjects = [sealed.subject for _, sealed in events]
    parameters = {
        "stream": stream_id,
        "count": len(events),
        "workspaces": [event.workspace_id for event, _ in events],
        "ids": [sealed.id for _, sealed in events],
        "types": [sealed.type for _, sealed in events],
        "kinds": [subject.kind for subject in subjects],
        "subjects": [subject.id for subject in subjects],
        "payloads": [sealed.model_dump_json() for _, sealed in events],
        "times": [sealed.occurred_at for _, sealed in events],
    }
    if (await session.execute(_APPEND, parameters)).first() is None:
        raise LookupError(f"stream {stream_id} does not exist")
