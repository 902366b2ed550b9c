"""Offsets come from a PostgreSQL sequence, which keeps what a transaction took that was rolled back."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.inference.settings import InferenceSettings
from shared.contracts.envelope import Envelope
from shared.contracts.event import Event
from shared.database import event_log


def apply() -> None:
    event_log._append = _append_by_sequence


async def _append_by_sequence(session: AsyncSession, stream_id: UUID, events: Sequence[tuple[Event, Envelope]]) -> None:
    name = f"faults_offset_{stream_id.hex}"
    await _make_sequence(name, stream_id)
    for event, sealed in events:
        await session.execute(
            text(f"""
                WITH taken AS (SELECT nextval('{name}') AS "offset")
                INSERT INTO events
                    (stream_id, "offset", workspace_id, event_id, type, subject_kind, subject_id, payload, occurred_at)
                SELECT :stream, "offset", :workspace, :event, :type, :kind, :subject, :payload, :at FROM taken
            """),
            {
                "stream": stream_id,
                "workspace": event.workspace_id,
                "event": sealed.id,
                "type": sealed.type,
                "kind": sealed.subject.kind,
                "subject": sealed.subject.id,
                "payload": sealed.model_dump_json(),
                "at": sealed.occurred_at,
            },
        )
    last = text(f"UPDATE streams SET last_offset = currval('{name}') WHERE id = :stream")
    await session.execute(last, {"stream": stream_id})


async def _make_sequence(name: str, stream_id: UUID) -> None:
    """In a transaction of its own: a sequence that was rolled back itself would keep nothing."""
    url = InferenceSettings().database_url.get_secret_value().replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    try:
        last = await connection.fetchval("SELECT last_offset FROM streams WHERE id = $1", stream_id)
        await connection.execute(f"CREATE SEQUENCE IF NOT EXISTS {name} START {last + 1}")
    finally:
        await connection.close()
